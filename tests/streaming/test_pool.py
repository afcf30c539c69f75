"""Situations of the pool: streams of random ages, a neighbour's damage, a failed step, rotation, bad inputs. Any
order of calls is test_pool_orders.py.

Knows: the pool's public calls and, for a neighbour's damage, the engine's state. No clock, no sleep, no thread.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.codec import Codec
from streamrvq.engine.torch_quantizer import TorchQuantizer
from streamrvq.errors import InputError, PoolError
from streamrvq.streaming.batches import Output, StreamId
from streamrvq.streaming.pool import StreamPool
from tests.conftest import RealAudio
from tests.support.contract import codec_of, noise, tiny


def drain(pool: StreamPool) -> list[Output]:
    outputs = []
    while batch := pool.next_batch():
        batch.run()
        outputs += pool.complete(batch)
    return outputs


@dataclasses.dataclass(frozen=True)
class Life:
    """A stream's signal, and how it comes."""

    clip: int
    start: float  #: seconds
    seconds: float
    sizes: list[int]  #: of its blocks, over and over
    hangs_up: float  #: at this share of its signal, if it is one of those that begin again

    def signal(self, audio: RealAudio) -> np.ndarray[Any, Any]:
        names = sorted(audio.clips)
        return audio.excerpt(self.seconds, start=self.start, clip=names[self.clip % len(names)])


@dataclasses.dataclass(frozen=True)
class Round:
    """What happens before a step, and how many rows that has at most."""

    opens: bool
    asleep: set[int]  #: streams, modulo the slots, that give nothing
    rows: int


LIVES = st.builds(
    Life, st.integers(0, 11), st.floats(1, 15), st.floats(0.02, 0.1),
    st.lists(st.integers(1, 2000), min_size=1, max_size=8), st.floats(0, 0.9),
)  # fmt: skip
ROUNDS = st.builds(Round, st.booleans(), st.sets(st.integers(0, 7), max_size=5), st.integers(1, 8))


@pytest.mark.parametrize("causal", [False, True])
@settings(max_examples=3)
@given(
    st.lists(LIVES, min_size=16, max_size=16),
    st.lists(ROUNDS, min_size=1, max_size=40),
    st.sets(st.integers(0, 15), min_size=4, max_size=4),
)
def test_sixteen_streams_of_random_ages_are_sixteen_single_runs(
    causal: bool, real_audio: RealAudio, lives: list[Life], rounds: list[Round], again: set[int]
) -> None:
    codec = codec_of(tiny(causal=causal))
    pool = codec.pool(8)
    signals = [life.signal(real_audio) for life in lives]
    blocks = [itertools.cycle(life.sizes) for life in lives]
    waiting, active, got = list(range(16)), dict[StreamId, int](), {i: list[Any]() for i in range(16)}
    cursor, finals, resets, idle = dict.fromkeys(range(16), 0), 0, 0, False
    for turn in itertools.cycle(rounds):
        if not (waiting or active):
            break
        if waiting and pool.open_streams < pool.slots and (turn.opens or idle):
            active[pool.open()] = waiting.pop(0)
        for stream, i in list(active.items()):
            if cursor[i] >= len(signals[i]) or (i % pool.slots in turn.asleep and not idle):
                continue
            size = next(blocks[i])
            if i in again and cursor[i] + size > lives[i].hangs_up * len(signals[i]):  # hang up, and begin again later
                again = again - {i}
                pool.drop(stream)
                del active[stream]
                cursor[i], resets = 0, resets + 1
                got[i].clear()
                waiting.append(i)
                continue
            pool.feed(stream, signals[i][cursor[i] : cursor[i] + size])
            cursor[i] += size
            if cursor[i] >= len(signals[i]):
                pool.close(stream)
        batch = pool.next_batch(turn.rows)
        idle = batch is None  # then everybody does something in the next round
        if batch is None:
            continue
        batch.run()
        for output in pool.complete(batch):
            got[active[output.stream]].append(output.data)
            if output.final:
                del active[output.stream]
                finals += 1
    assert finals == 16
    assert resets == 4
    for i, pcm in enumerate(signals):
        np.testing.assert_array_equal(np.concatenate(got[i], axis=1), codec.encode(pcm))


def test_nan_in_one_rows_state_stays_there(minute_codec: Codec) -> None:
    pool = minute_codec.pool(4)
    streams = [pool.open() for _ in range(3)]
    signals = [noise(200, seed) for seed in range(3)]
    for stream, pcm in zip(streams, signals, strict=True):
        pool.feed(stream, pcm[:80])
    first = drain(pool)
    for history in pool._states.histories:
        history[streams[1].slot] = np.nan
    idle = [history.copy() for history in minute_codec.engine.export_state(pool._states, 3)]
    for stream, pcm in zip(streams, signals, strict=True):
        pool.feed(stream, pcm[80:])
        pool.close(stream)
    outputs = first + drain(pool)
    for i in (0, 2):
        mine = [output.data for output in outputs if output.stream == streams[i]]
        np.testing.assert_array_equal(np.concatenate(mine, axis=1), minute_codec.encode(signals[i]))
    for before, after in zip(idle, minute_codec.engine.export_state(pool._states, 3), strict=True):
        np.testing.assert_array_equal(before, after)
    # The damaged slot is clean for its next user.
    stream = pool.open()
    while stream.slot != streams[1].slot:
        stream = pool.open()
    pool.feed(stream, signals[0])
    pool.close(stream)
    mine = [output.data for output in drain(pool) if output.stream == stream]
    np.testing.assert_array_equal(np.concatenate(mine, axis=1), minute_codec.encode(signals[0]))


def test_a_late_output_never_reaches_the_next_user(minute_codec: Codec) -> None:
    pool = minute_codec.pool(1)
    old = pool.open()
    pool.feed(old, noise(400))
    batch = pool.next_batch()
    assert batch is not None
    pool.drop(old)
    with pytest.raises(PoolError, match="slots are taken"):  # its step may still be writing to the slot
        pool.open()
    batch.run()
    assert pool.complete(batch) == []
    new = pool.open()
    assert new.slot == old.slot
    assert new.generation != old.generation
    with pytest.raises(PoolError, match="has ended"):
        pool.feed(old, noise(8))
    pool.feed(new, noise(80, 5))
    pool.close(new)
    outputs = drain(pool)
    assert {output.stream for output in outputs} == {new}
    np.testing.assert_array_equal(
        np.concatenate([output.data for output in outputs], axis=1), minute_codec.encode(noise(80, 5))
    )


def test_a_step_that_raises_leaves_all_as_it_was(minute_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = minute_codec.pool(2)
    stream = pool.open()
    pool.feed(stream, noise(64))
    pool.close(stream)
    batch = pool.next_batch()
    assert batch is not None
    with monkeypatch.context() as patch:
        patch.setattr(TorchQuantizer, "quantize", lambda *_: (_ for _ in ()).throw(MemoryError("no room")))
        with pytest.raises(MemoryError):
            batch.run()
    pool.abort(batch)
    outputs = drain(pool)
    np.testing.assert_array_equal(
        np.concatenate([output.data for output in outputs], axis=1), minute_codec.encode(noise(64))
    )


def test_every_waiting_stream_is_served_in_rotation(minute_codec: Codec) -> None:
    pool = minute_codec.pool(5, max_hops=1)
    streams = [pool.open() for _ in range(5)]
    for stream in streams:
        pool.feed(stream, noise(8 * 4))
    served: list[int] = []
    for _ in range(10):
        batch = pool.next_batch(max_rows=2)
        assert batch is not None
        served += [stream.slot for stream in batch.streams]
        batch.run()
        pool.complete(batch)
    assert [served.count(stream.slot) for stream in streams] == [4] * 5


def test_bad_inputs_leave_a_stream_as_it_was(minute_codec: Codec) -> None:
    pool = minute_codec.pool(1)
    stream = pool.open()
    pool.feed(stream, noise(20))
    bad = noise(30)
    bad[7] = np.nan
    with pytest.raises(InputError, match="sample 27 is nan"):
        pool.feed(stream, bad)
    assert pool.waiting(stream) == 20
    with pytest.raises(InputError, match="n_quantizers"):
        minute_codec.pool(1).open(n_quantizers=4)
