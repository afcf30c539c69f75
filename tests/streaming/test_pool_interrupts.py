"""An exception from a signal handler at every bytecode of a pool's calls: never a wrong code without an error.

Knows: every method of the pool and of a batch, on both engines, and a caller that goes on as their documentation says.
"""

from __future__ import annotations

import contextlib
import threading
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.errors import PoolError, StreamClosedError
from streamrvq.streaming.batches import Batch, Output, StreamId
from streamrvq.streaming.pool import StreamPool
from tests.support.contract import ENGINE_DTYPES, codec_of, minute, noise
from tests.support.interrupting import ARITHMETIC, LAST_PLACES, STRIDE, after, every_place
from tests.support.patience import PATIENCE

#: Engine, dtype, direction, and by how much the streams' rate is above the codec's.
KINDS: list[tuple[str, str, str, int]] = [
    (*pair, "encode", 1) for pair in ENGINE_DTYPES if pair != ("torch", "float32")
]
Kind = tuple[Codec, str, int]
#: For what an engine has no part in.
ONE = [KINDS[-1], (*KINDS[-1][:3], 2)]


@lru_cache(maxsize=64)
def signal_of(codec: Codec, direction: str, seed: int, hops: int, factor: int) -> tuple[Any, Any]:
    """A signal, and what it gives when nothing is interrupted."""
    if direction == "encode":
        pcm = noise(factor * (hops * codec.hop_length + 3), seed=seed)
        return pcm, codec.encode(pcm, factor * codec.sample_rate)
    codes = np.random.default_rng(seed).integers(0, codec.config.codebook_size, (codec.n_codebooks, hops))
    return codes, codec.decode(codes, factor * codec.sample_rate)


class Caller:
    """Three slots, two streams of other ages, and what they gave."""

    def __init__(self, codec: Codec, direction: Any, factor: int = 1) -> None:
        self.codec, self.direction, self.factor = codec, direction, factor
        self.pool: StreamPool = codec.pool(3, direction, max_hops=6)  # less than each of the streams has to come
        self.wanted: dict[StreamId, Any] = {}
        self.came: dict[StreamId, list[Output]] = {}
        self.old = self.add(self.open(), 1, 9)
        self.take(self.next())
        self.young = self.add(self.open(), 2, 10)
        self.pool.close(self.old)

    def open(self) -> StreamId:
        return self.pool.open(sample_rate=self.factor * self.codec.sample_rate)

    def add(self, stream: StreamId, seed: int, hops: int) -> StreamId:
        """Feed a fresh stream."""
        signal, self.wanted[stream] = signal_of(self.codec, self.direction, seed, hops, self.factor)
        self.came[stream] = []
        self.pool.feed(stream, signal)
        return stream

    def next(self) -> Batch:
        batch = self.pool.next_batch()
        assert batch is not None
        return batch

    def take(self, batch: Batch) -> None:
        """Run a batch and keep its outputs."""
        batch.run()
        self.complete(batch)

    def complete(self, batch: Batch) -> None:
        for output in self.pool.complete(batch):
            self.came[output.stream].append(output)

    def end(self) -> int:
        """Drain the pool. Compares all that came, each output at its place; returns how many did not come."""
        for stream in self.wanted:
            try:
                self.pool.close(stream)
            except (PoolError, StreamClosedError):
                continue
        while (batch := self.pool.next_batch()) is not None:
            self.take(batch)
        assert self.pool.next_batch() is None
        return sum(map(self.missing, self.wanted))

    def missing(self, stream: StreamId) -> int:
        wanted = self.wanted[stream]
        came = np.zeros(wanted.shape[-1], int)
        for output in self.came[stream]:
            end = output.index + output.data.shape[-1]
            assert np.array_equal(output.data, wanted[..., output.index : end])
            came[output.index : end] += 1
        assert came.max() <= 1, "an output came twice"
        return int((came == 0).sum())


@pytest.fixture(params=[*KINDS, (*KINDS[-1][:2], "decode", 1), (*KINDS[-1][:2], "decode", 2)],
                ids=lambda kind: f"{kind[0]}-{kind[2]}-{kind[3]}")  # fmt: skip
def kind(request: pytest.FixtureRequest) -> Kind:
    engine, dtype, direction, factor = request.param
    return codec_of(minute((8,), causal=False), dtype, engine), direction, factor


def places(kind: Kind) -> Any:
    """A fresh caller and an interrupt for every place."""
    count = 0
    for interrupt in every_place(STRIDE[kind[0].engine.name], ARITHMETIC):
        yield Caller(*kind), interrupt
        count += 1
    assert count > 20, "hardly a place was tried"


@pytest.mark.parametrize("kind", ONE, indirect=True)
def test_an_interrupted_feed_took_all_or_nothing(kind: Kind) -> None:
    for caller, interrupt in places(kind):
        stream = caller.open()
        with interrupt:
            caller.add(stream, 3, 6)
        if not caller.pool.received(stream):
            caller.add(stream, 3, 6)
        assert not caller.end()


@pytest.mark.parametrize("kind", ONE, indirect=True)
def test_an_interrupted_open_gives_its_slot_to_the_next(kind: Kind) -> None:
    late = 0
    for caller, interrupt in places(kind):
        with interrupt:
            caller.add(caller.open(), 3, 6)
        if interrupt.where and not any(stream.slot == 2 for stream in caller.wanted):
            try:
                caller.add(caller.open(), 3, 6)
            except PoolError:  # it was open, and the call had not returned
                late += 1
        assert not caller.end() or interrupt.where
        assert all(not caller.missing(stream) for stream in (caller.old, caller.young))
    assert late <= LAST_PLACES


@pytest.mark.parametrize("kind", ONE, indirect=True)
def test_an_interrupted_close_closed_or_did_not(kind: Kind) -> None:
    for caller, interrupt in places(kind):
        with interrupt:
            caller.pool.close(caller.young)
        assert not caller.end()


@pytest.mark.parametrize("kind", ONE, indirect=True)
@pytest.mark.parametrize("out", [False, True])
def test_an_interrupted_drop_leaves_no_slot_behind(kind: Kind, out: bool) -> None:
    for caller, interrupt in places(kind):
        batch = caller.next() if out else None
        with interrupt:
            caller.pool.drop(caller.young)
        with contextlib.suppress(PoolError):
            caller.pool.drop(caller.young)
        if batch is not None:
            caller.take(batch)
        del caller.wanted[caller.young]
        assert caller.came[caller.young] == []
        new = [caller.add(caller.open(), seed, 4) for seed in (5, 6)]
        assert len({stream.slot for stream in new}) == 2
        assert not caller.end()
        assert caller.pool.open_streams == 0


@pytest.mark.parametrize("kind", ONE, indirect=True)
def test_an_interrupted_next_batch_gave_none_or_is_found(kind: Kind) -> None:
    for caller, interrupt in places(kind):
        with interrupt:
            caller.next()
        caller.take(caller.pool.batch or caller.next())
        assert not caller.end()


@pytest.mark.parametrize("way", ["again", "abort", "abort and drop"])
def test_an_interrupted_run_happened_once(kind: Kind, way: str) -> None:
    for caller, interrupt in places(kind):
        batch = caller.next()
        with interrupt:
            batch.run()
        try:
            batch.run() if way == "again" else caller.pool.abort(batch)
        except PoolError:  # it has run
            caller.complete(batch)
        else:
            if way == "again":
                caller.complete(batch)
        if way == "abort and drop":
            caller.pool.drop(caller.young)
            del caller.wanted[caller.young]
            caller.add(caller.open(), 5, 4)
        assert not caller.end()


def test_an_aborted_step_that_happened_comes_again_before_all_others(kind: Kind) -> None:
    codec, direction, factor = kind
    caller = Caller(codec, direction, factor)
    name = f"{direction}_step"
    batch = caller.next()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec.engine, name, after(getattr(codec.engine, name), 1))
        with pytest.raises(KeyboardInterrupt):
            batch.run()
    caller.pool.abort(batch)
    assert caller.pool.batch is None
    caller.add(caller.open(), 5, 30)
    again = caller.pool.next_batch(max_rows=1)
    assert again is not None
    assert again is not batch
    assert again.streams[:2] == batch.streams[:2]
    caller.pool.abort(again)
    again = caller.next()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec.engine, name, None)  # nothing is computed
        caller.take(again)
    assert not caller.end()


@pytest.mark.parametrize("kind", ONE, indirect=True)
def test_an_interrupted_complete_gives_all_when_called_again(kind: Kind) -> None:
    late = 0
    for caller, interrupt in places(kind):
        batch, was_late = caller.next(), False
        batch.run()
        with interrupt:
            caller.complete(batch)
        if interrupt.where:
            try:
                caller.complete(batch)
            except PoolError:
                was_late = True
        assert was_late or not caller.end()
        late += was_late
    assert late <= LAST_PLACES


@pytest.mark.parametrize("happened", [False, True])
def test_an_interrupted_abort_may_be_called_again(kind: Kind, happened: bool) -> None:
    codec, direction, _ = kind
    name = f"{direction}_step"
    for caller, interrupt in places(kind):
        batch = caller.next()
        if happened:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(codec.engine, name, after(getattr(codec.engine, name), 1))
                with pytest.raises(KeyboardInterrupt):
                    batch.run()
        with interrupt:
            caller.pool.abort(batch)
        if caller.pool.batch is not None:
            caller.pool.abort(batch)
        assert not caller.end()


def test_a_batch_that_another_thread_runs_is_not_aborted(minute_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the wait for that thread is interrupted: its step is under way, and will happen."""
    caller, real = Caller(minute_codec, "encode"), minute_codec.engine.encode_step
    batch, began, go_on = caller.next(), threading.Event(), threading.Event()

    def step(*arguments: Any) -> Any:
        began.set()
        assert go_on.wait(PATIENCE)
        return real(*arguments)

    monkeypatch.setattr(minute_codec.engine, "encode_step", step)
    thread = threading.Thread(target=batch.run)
    thread.start()
    assert began.wait(PATIENCE)
    with pytest.raises(PoolError, match="wait for that run to return"):
        caller.pool.abort(batch)
    with pytest.raises(PoolError, match="wait for that run to return"):
        batch.run()
    go_on.set()
    thread.join()
    monkeypatch.undo()
    caller.complete(batch)
    assert not caller.end()
