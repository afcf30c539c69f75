"""One lane by itself: what filling its pool returns, how it ends, and how far ahead of real time it is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.audio.rates import output_length
from streamrvq.families import decoder_plan
from streamrvq.live.server.scheduling.jobs import Silence
from streamrvq.live.server.scheduling.lane import MAX_POOL_HOPS, Filled, Lane
from streamrvq.streaming.batches import Output, StreamId
from tests.support.contract import noise
from tests.support.service import CAUSAL, DELAYED, HOP, RATE


def lane_of(pool, direction="encode", hop_seconds=0.5):
    return Lane(direction, pool, (RATE, RATE), hop_seconds, lambda data, last: None, lambda error: None)


def run_steps(pool, lane):
    """Compute all that the pool has. Returns what the lane makes of the outputs."""
    outputs = []
    while (batch := pool.next_batch()) is not None:
        batch.run()
        outputs += [lane.process_output(output, batch.hops, now=0.0) for output in pool.complete(batch)]
    return outputs


def test_filling_opens_a_stream_once():
    pool = CAUSAL.pool(1)
    lane = lane_of(pool)
    assert lane.fill_pool() == Filled()  # no work, no slot
    lane.put(noise(HOP), 0.0)
    assert lane.fill_pool() == Filled(opened=StreamId(0, 0))
    lane.put(noise(HOP), 1.0)
    assert lane.fill_pool() == Filled()
    assert (lane.queued, lane.fed_at) == (0, 1.0)


def test_a_lane_without_a_slot_is_blocked():
    pool = CAUSAL.pool(1)
    first, second = lane_of(pool), lane_of(pool)
    for lane in (first, second):
        lane.put(noise(HOP), 0.0)
    opened = first.fill_pool().opened
    assert second.fill_pool() == Filled(waits=True, blocked=True)
    assert second.queued == HOP
    first.drop()
    assert first.fill_pool() == Filled(closed=opened)
    assert first.fill_pool() == Filled()
    assert second.fill_pool() == Filled(opened=StreamId(0, 1))


def test_a_full_pool_leaves_work_that_is_not_blocked():
    pool = CAUSAL.pool(1)
    lane = lane_of(pool)
    for _ in range(MAX_POOL_HOPS + 2):
        lane.put(noise(HOP), 0.0)
    assert lane.fill_pool() == Filled(opened=StreamId(0, 0), waits=True)
    assert lane.queued == 2 * HOP
    run_steps(pool, lane)
    assert lane.fill_pool() == Filled()


def test_a_segment_comes_out_before_the_next_one_begins():
    pool = CAUSAL.pool(2)
    lane, pcm = lane_of(pool), noise(2 * HOP + 10)
    for job in (pcm, "segment", pcm, "close"):
        lane.put(job, 0.0)
    assert lane.fill_pool() == Filled(opened=StreamId(0, 0), waits=True, blocked=True)
    first = run_steps(pool, lane)
    assert lane.fill_pool() == Filled(opened=StreamId(0, 1))
    second = run_steps(pool, lane)
    for outputs in (first, second):
        assert np.array_equal(np.concatenate([data for data, _ in outputs], axis=-1), CAUSAL.encode(pcm))
    assert [last for _, last in first + second] == [False] * (len(first + second) - 1) + [True]


def test_a_failed_lane_gives_its_slot_back_once():
    pool = CAUSAL.pool(1)
    lane = lane_of(pool)
    lane.put(noise(HOP), 0.0)
    opened = lane.fill_pool().opened
    assert lane.fail() == Filled(closed=opened)
    assert pool.open_streams == 0
    assert lane.fail() == Filled()
    lane.put(noise(HOP), 0.0)
    assert lane.fill_pool() == Filled()  # nothing comes of later work
    assert pool.open_streams == 0


def test_a_lane_that_fails_at_its_last_output_has_no_slot_to_give_back(monkeypatch):
    pool = CAUSAL.pool(1, "decode")
    lane = lane_of(pool, "decode")
    lane.put(CAUSAL.encode(noise(HOP)), 0.0)
    lane.put("close", 0.0)
    lane.fill_pool()
    final = False
    while not final:
        batch = pool.next_batch()
        batch.run()
        (output,) = pool.complete(batch)
        final = output.final
        if not final:
            lane.process_output(output, batch.hops, now=0.0)
    assert pool.open_streams == 0
    monkeypatch.setattr(np, "asarray", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lane.process_output(output, batch.hops, now=0.0)
    assert lane.fail() == Filled()


def test_a_step_counts_towards_the_pace():
    lane = lane_of(CAUSAL.pool(1), hop_seconds=0.125)
    before = lane.seconds_ahead(100.0)
    lane.process_output(Output(StreamId(0, 0), 0, np.zeros((3, 0), np.int64), False), 4, now=100.0)
    assert lane.seconds_ahead(100.0) == before + 0.5


def test_a_file_goes_into_the_pool_in_parts():
    pool = CAUSAL.pool(1)
    lane, pcm = lane_of(pool), noise(100 * HOP + 7)
    lane.put(pcm, 0.0)
    lane.put("close", 0.0)
    assert lane.fill_pool(3) == Filled(opened=StreamId(0, 0), waits=True)
    assert lane.queued == 97 * HOP + 7
    assert lane.fill_pool(0) == Filled(waits=True)
    parts = []
    while lane.fill_pool().waits:
        assert pool.waiting(StreamId(0, 0)) <= (MAX_POOL_HOPS + 1) * HOP
        parts += run_steps(pool, lane)
    parts += run_steps(pool, lane)
    assert np.array_equal(np.concatenate([data for data, _ in parts], axis=-1), CAUSAL.encode(pcm))


def test_silence_is_zeros_that_wait_as_a_number():
    pool = CAUSAL.pool(1)
    lane, pcm, parts = lane_of(pool), noise(HOP + 5), []
    for job in (pcm, Silence(50 * HOP), pcm, "close"):
        lane.put(job, 0.0)
    assert lane.queued == 52 * HOP + 10
    while lane.fill_pool().waits:
        parts += run_steps(pool, lane)
    parts += run_steps(pool, lane)
    whole = np.concatenate([pcm, np.zeros(50 * HOP, np.float32), pcm])
    assert np.array_equal(np.concatenate([data for data, _ in parts], axis=-1), CAUSAL.encode(whole))


def test_the_ends_of_signals_count_as_a_hop_until_they_are_out():
    pool = CAUSAL.pool(1)
    lane = lane_of(pool, hop_seconds=0.5)
    lane.put("segment", 0.0)  # of nothing
    for _ in range(3):
        lane.put(noise(1), 0.0)
        lane.put("segment", 0.0)
        lane.put("segment", 0.0)  # of nothing
    assert lane.segments_seconds == 1.5
    lane.fill_pool()
    run_steps(pool, lane)
    assert lane.segments_seconds == 1.0


@settings(max_examples=60)
@given(
    direction=st.sampled_from(["encode", "decode"]),
    rate=st.sampled_from([RATE, 8000, 44_100]),
    blocks=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    cut=st.booleans(),
    most=st.integers(1, 12),
    reads=st.lists(st.integers(0, 6), min_size=1, max_size=6),
)
def test_nothing_is_computed_that_there_is_no_room_for(direction, rate, blocks, cut, most, reads):
    """Whatever a reader takes, and when: no more waits for it than there is room for, and in the end it has all.

    ``most`` hops of outputs are allowed beside those that are held back. The reader takes ``reads`` of them a step.
    """
    codec, pool = DELAYED, DELAYED.pool(1, direction)
    hop = codec.hop_length / codec.sample_rate
    held = codec.delay_frames + 2 + 0.3 / hop  # hops that codec and resampler hold back
    if direction == "encode":
        a_hop, signals = 1, [noise(count * round(hop * rate)) for count in blocks]
        outputs = lambda n: -(-output_length(n, rate, codec.sample_rate) // codec.hop_length)  # noqa: E731
    else:
        a_hop = round(hop * rate)
        signals = [np.random.default_rng(count).integers(0, 64, (3, count)) for count in blocks]
        outputs = lambda n: output_length(decoder_plan(codec.config).outputs(n), codec.sample_rate, rate)  # noqa: E731
    cut &= direction == "encode"
    lane = Lane(direction, pool, (rate, codec.sample_rate), hop, lambda *_: None, lambda *_: None, outputs)
    for signal in signals:
        lane.put(signal, 0.0)
        if cut:
            lane.put("segment", 0.0)
    lane.put("close", 0.0)
    room, sent, parts, last, steps = math.ceil((most + held) * a_hop), 0, [], False, itertools.cycle([*reads, 1])
    while not last:
        lane.allow(sent + room)
        lane.fill_pool()
        for data, ends in run_steps(pool, lane):
            parts.append(data)
            last |= ends
        made = sum(part.shape[-1] for part in parts)
        assert made - sent <= room + 1
        sent = min(made, sent + next(steps) * a_hop)
    whole = np.concatenate(parts, axis=-1)
    pieces = signals if cut else [np.concatenate(signals, axis=-1)]
    if direction == "encode":
        wanted = np.concatenate([codec.encode(piece, sample_rate=rate) for piece in pieces], axis=1)
    else:
        wanted = codec.decode(pieces[0], rate).astype(np.float32)
    assert np.array_equal(whole, wanted)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["<f4", "<i2", "silence"]), st.integers(1, 3 * HOP)), max_size=30), st.data())
def test_small_parts_go_into_the_pool_together_and_in_order(parts, data):
    """As few calls of the pool as kinds of parts follow each other, and as hops are asked for."""
    pool, fed = CAUSAL.pool(1), []
    lane = lane_of(pool)
    feed, pool.feed_checked = pool.feed_checked, lambda stream, pcm: (fed.append(pcm), feed(stream, pcm))
    signal = [np.zeros(0, np.float32)]
    for kind, count in parts:
        if kind == "silence":
            lane.put(Silence(count), 0.0)
            signal.append(np.zeros(count, np.float32))
        else:
            part = (noise(count) * (32767 if kind == "<i2" else 1)).astype(kind)
            lane.put(part, 0.0)
            signal.append(part / np.float32(32768) if kind == "<i2" else part)
    calls = 0
    while lane.queued:
        calls += 1
        most = data.draw(st.integers(1, 8))
        lane.fill_pool(most)
        run_steps(pool, lane)
    assert np.array_equal(np.concatenate([*fed, signal[0]]), np.concatenate(signal))
    changes = sum(kind != other or kind == "silence" for (kind, _), (other, _) in itertools.pairwise(parts))
    assert len(fed) <= calls + changes + 1
