"""The pool while a step is under way: fed, closed, dropped between a batch's run and its completion.

Knows: the states of all slots, compared bit for bit around every step, failed ones included.
test_pool_orders.py searches whole batches in the same way. Here other calls also come while a batch runs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from streamrvq.errors import EngineError, InputError, PoolError, StreamClosedError
from streamrvq.streaming.pool import Batch, StreamId, StreamPool
from tests.support.contract import codec_of, minute, noise

SLOTS = 2  # few, so that they change hands
DEEP = noise(3000, seed=21)


@dataclasses.dataclass
class Model:
    """What one stream was fed and gave."""

    id: StreamId
    levels: int
    tail: str
    fed: list[Any] = dataclasses.field(default_factory=list)
    came: list[Any] = dataclasses.field(default_factory=list)
    closed: bool = False

    @property
    def frames(self) -> int:
        return sum(part.shape[1] for part in self.came)


class Breaking:
    """The codec's engine, whose next step raises when it is told to."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.broken = inner, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_step(self, *args: Any) -> Any:
        if self.broken:
            raise EngineError("the step failed")
        return self.inner.encode_step(*args)


class UnderwayMachine(RuleBasedStateMachine):
    """Every rule is something a server does; the truth is ``codec.encode`` of what a stream was fed."""

    streams = Bundle("streams")
    ended = Bundle("ended")

    @initialize(causal=st.booleans(), max_hops=st.integers(1, 5))
    def make(self, causal: bool, max_hops: int) -> None:
        self.codec = codec_of(minute(causal=causal))
        self.engine = Breaking(self.codec.engine)
        self.pool = StreamPool(self.engine, SLOTS, max_hops=max_hops)
        self.models: dict[StreamId, Model] = {}
        self.dropped_in_flight: set[StreamId] = set()
        self.batch: Batch | None = None
        self.computing: set[StreamId] = set()
        self.has_run = False
        self.position = 0

    @rule(target=streams, levels=st.integers(1, 3), tail=st.sampled_from(["pad", "valid"]), samples=st.integers(0, 60))
    def open(self, levels: int, tail: str, samples: int) -> Any:
        taken = len(self.models) + len(self.dropped_in_flight)
        if taken == SLOTS:
            with pytest.raises(PoolError, match="slots are taken"):
                self.pool.open(levels, tail)
            return StreamId(0, -1)
        stream = self.pool.open(levels, tail)
        assert stream not in self.models
        assert stream not in self.dropped_in_flight
        self.models[stream] = Model(stream, levels, tail)
        self.feed(stream, samples)
        return stream

    @rule(stream=streams, samples=st.integers(0, 50))
    def feed(self, stream: StreamId, samples: int) -> None:
        block = np.roll(DEEP, -self.position)[:samples]
        self.position += samples
        model = self.models.get(stream)
        if model is None or model.closed:
            with pytest.raises(PoolError if model is None else StreamClosedError):
                self.pool.feed(stream, block)
            return
        self.pool.feed(stream, block)
        model.fed.append(block)

    @rule(stream=streams)
    def feed_nonsense(self, stream: StreamId) -> None:
        model = self.models.get(stream)
        if model is not None and not model.closed:
            waiting = self.pool.waiting(stream)
            with pytest.raises(InputError):
                self.pool.feed(stream, np.array([0.1, np.nan], np.float32))
            assert self.pool.waiting(stream) == waiting

    @rule(stream=streams)
    def close(self, stream: StreamId) -> None:
        model = self.models.get(stream)
        if model is None or model.closed:
            with pytest.raises(PoolError if model is None else StreamClosedError):
                self.pool.close(stream)
            return
        self.pool.close(stream)
        model.closed = True

    @rule(target=ended, stream=consumes(streams))
    def drop(self, stream: StreamId) -> Any:
        model = self.models.pop(stream, None)
        if model is None:
            with pytest.raises(PoolError):
                self.pool.drop(stream)
            return stream
        self.pool.drop(stream)
        self.check_prefix(model)
        if self.batch is not None and stream in self.computing:
            self.dropped_in_flight.add(stream)  # its slot is not free until the step has ended
        return stream

    @rule(stream=ended)
    def use_after_the_end(self, stream: StreamId) -> None:
        for call in (
            lambda: self.pool.feed(stream, DEEP[:9]),
            lambda: self.pool.close(stream),
            lambda: self.pool.drop(stream),
        ):
            with pytest.raises(PoolError, match="has ended"):
                call()

    @precondition(lambda self: self.batch is None)
    @rule(max_rows=st.sampled_from([None, 1, 2]))
    def next_batch(self, max_rows: int | None) -> None:
        self.batch, self.has_run = self.pool.next_batch(max_rows), False
        if self.batch is None:
            return
        assert set(self.batch.streams) <= set(self.models)
        rows = ((stream, self.pool._rows[stream.slot]) for stream in self.batch.streams)
        self.computing = {stream for stream, row in rows if row is not None and row.in_flight}
        with pytest.raises(PoolError, match="a batch is out"):
            self.pool.next_batch()

    @precondition(lambda self: self.batch is not None and not self.has_run)
    @rule(fails=st.booleans())
    def run(self, fails: bool) -> None:
        assert self.batch is not None
        if fails and self.batch.hops:
            before = self.exported()
            self.engine.broken = True
            with pytest.raises(EngineError):
                self.batch.run()
            self.engine.broken = False
            assert self.exported() == before
            with pytest.raises(PoolError):
                self.pool.complete(self.batch)
            return
        idle = {s for s in range(SLOTS) if s not in {stream.slot for stream in self.batch.streams}}
        before = self.exported()
        self.batch.run()
        self.has_run = True
        after = self.exported()
        assert [slot for slot in idle if before[slot] != after[slot]] == []
        with pytest.raises(PoolError, match="runs once"):
            self.batch.run()

    def exported(self) -> list[list[bytes]]:
        states = self.pool._states
        return [[history.tobytes() for history in self.engine.export_state(states, slot)] for slot in range(SLOTS)]

    @precondition(lambda self: self.batch is not None and self.has_run)
    @rule()
    def complete(self) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        for item in self.pool.complete(batch):
            model = self.models[item.stream]  # a KeyError: an output for a stream that was dropped or never was
            assert item.index == model.frames
            assert item.data.shape[0] == model.levels
            model.came.append(item.data)
            if item.final:
                assert model.closed
                self.check_all(self.models.pop(item.stream))
        self.dropped_in_flight.clear()
        with pytest.raises(PoolError):
            self.pool.complete(batch)

    @precondition(lambda self: self.batch is None)
    @rule()
    def serve(self) -> None:
        """All that waits, without an interruption."""
        while self.batch is None:
            self.next_batch(None)
            if self.batch is None:
                return
            self.run(fails=False)
            self.complete()

    @precondition(lambda self: self.batch is not None and not self.has_run)
    @rule()
    def abort(self) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        self.pool.abort(batch)
        self.dropped_in_flight.clear()

    @invariant()
    def the_pool_counts_as_the_model_does(self) -> None:
        assert self.pool.open_streams == len(self.models) + len(self.dropped_in_flight)

    def teardown(self) -> None:
        """Everything still open is closed and drained: nothing is owed, nothing is lost."""
        if not hasattr(self, "pool"):
            return
        if self.batch is not None:
            self.complete() if self.has_run else self.abort()
        for model in self.models.values():
            if not model.closed:
                self.pool.close(model.id)
                model.closed = True
        while (batch := self.pool.next_batch()) is not None:
            self.batch, self.has_run = batch, True
            batch.run()
            self.complete()
        assert not self.models
        assert self.pool.open_streams == 0

    def signal(self, model: Model) -> Any:
        return np.concatenate([np.zeros(0, np.float32), *model.fed])

    def check_all(self, model: Model) -> None:
        wanted = self.codec.encode(self.signal(model), n_quantizers=model.levels, tail=model.tail)
        np.testing.assert_array_equal(np.concatenate(model.came, axis=1), wanted)

    def check_prefix(self, model: Model) -> None:
        wanted = self.codec.encode(self.signal(model), n_quantizers=model.levels, tail=model.tail)
        for part in model.came:
            assert part.shape[1] <= wanted.shape[1]
            np.testing.assert_array_equal(part, wanted[:, : part.shape[1]])
            wanted = wanted[:, part.shape[1] :]


TestUnderwayMachine = UnderwayMachine.TestCase
TestUnderwayMachine.settings = settings(max_examples=100, stateful_step_count=40)
