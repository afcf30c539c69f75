"""One lane by itself: what filling its pool returns, how it ends, and how far ahead of real time it is."""

import numpy as np
import pytest

from streamrvq.live.server.lane import MAX_POOL_HOPS, MAX_SECONDS_BEHIND, Filled, Lane
from streamrvq.streaming.batches import Output, StreamId
from tests.support.contract import noise
from tests.support.service import CAUSAL, HOP, RATE


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


def test_seconds_ahead_are_a_token_bucket():
    lane = lane_of(CAUSAL.pool(1), hop_seconds=0.5)
    output = Output(StreamId(0, 0), 0, np.zeros((3, 0), np.int64), False)
    lane.process_output(output, 4, now=100.0)  # two seconds of audio, from the lowest value
    assert lane.seconds_ahead(100.0) == 2.0 - MAX_SECONDS_BEHIND
    assert lane.seconds_ahead(100.5) == 1.5 - MAX_SECONDS_BEHIND
    assert lane.seconds_ahead(1000.0) == -MAX_SECONDS_BEHIND
    lane.process_output(output, 4, now=1000.0)
    assert lane.seconds_ahead(1000.0) == 2.0 - MAX_SECONDS_BEHIND
