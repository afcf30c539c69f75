"""The pool against single runs: in any order of opens, feeds, closes, drops, batches and failures, each stream gets its
own codes.

Knows: the pool's public calls. No clock, no sleep, no thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from streamrvq.codec import Codec
from streamrvq.errors import PoolError, StreamClosedError
from streamrvq.streaming.pool import Batch, Output, StreamId
from tests.support.contract import codec_of, minute, noise

SLOTS = 3


class Fed:
    """What one stream was given and has got."""

    def __init__(self, levels: int | None, tail: str) -> None:
        self.levels, self.tail = levels, tail
        self.inputs: list[Any] = []
        self.got: list[Any] = []
        self.closed = self.ended = False

    def take(self, output: Output) -> None:
        given = sum(part.shape[-1] for part in self.got)
        assert not self.ended
        assert output.index == given, "outputs must follow one another"
        self.got.append(output.data)
        self.ended = output.final


def expected(codec: Codec, direction: str, fed: Fed) -> Any:
    if direction == "encode":
        pcm = np.concatenate([np.zeros(0, np.float32), *fed.inputs])
        return codec.encode(pcm, n_quantizers=fed.levels, tail=fed.tail)
    return codec.decode(np.concatenate([np.zeros((3, 0), np.int64), *fed.inputs], axis=1))


class PoolMachine(RuleBasedStateMachine):
    """Every stream that ends has got exactly its offline outputs; one that was dropped gets nothing more."""

    streams = Bundle("streams")

    @initialize(causal=st.booleans(), direction=st.sampled_from(["encode", "decode"]), hops=st.integers(1, 4))
    def start(self, causal: bool, direction: Any, hops: int) -> None:
        self.codec = codec_of(minute(causal=causal))
        self.direction = direction
        self.pool = self.codec.pool(SLOTS, direction, max_hops=hops)
        self.fed: dict[StreamId, Fed] = {}
        self.batch: Batch | None = None
        self.seed = 0

    @rule(target=streams, levels=st.sampled_from([None, 1, 2]), tail=st.sampled_from(["pad", "valid"]))
    def open(self, levels: int | None, tail: str) -> Any:
        if self.pool.open_streams == SLOTS:
            with pytest.raises(PoolError, match="slots are taken"):
                self.pool.open()
            return StreamId(0, -1)  # a handle of no stream
        stream = self.pool.open(levels, tail)
        assert stream not in self.fed, "a generation came twice"
        self.fed[stream] = Fed(levels, tail)
        return stream

    @rule(stream=streams, size=st.integers(0, 40))
    def feed(self, stream: StreamId, size: int) -> None:
        fed = self.fed.get(stream)
        self.seed += 1
        if self.direction == "encode":
            block: Any = noise(size, self.seed)
        else:
            block = np.random.default_rng(self.seed).integers(0, 64, (3, size // 8))
        if fed is None or fed.ended:
            with pytest.raises(PoolError):
                self.pool.feed(stream, block)
        elif fed.closed:
            with pytest.raises(StreamClosedError):
                self.pool.feed(stream, block)
        else:
            self.pool.feed(stream, block)
            fed.inputs.append(block)

    @rule(stream=streams)
    def close(self, stream: StreamId) -> None:
        fed = self.fed.get(stream)
        if fed is None or fed.closed or fed.ended:
            with pytest.raises((PoolError, StreamClosedError)):
                self.pool.close(stream)
        else:
            self.pool.close(stream)
            fed.closed = True

    @rule(stream=consumes(streams))
    def drop(self, stream: StreamId) -> None:
        if stream in self.fed and not self.fed[stream].ended:
            self.pool.drop(stream)
            self.fed[stream].ended = True
        else:
            with pytest.raises(PoolError):
                self.pool.drop(stream)

    @rule(rows=st.sampled_from([None, 1, 2]))
    def next_batch(self, rows: int | None) -> None:
        if self.batch is not None:
            with pytest.raises(PoolError, match="a batch is out"):
                self.pool.next_batch()
            return
        self.batch = self.pool.next_batch(rows)

    @precondition(lambda self: self.batch is not None)
    @rule(outcome=st.sampled_from(["complete", "complete", "complete", "abort", "raise"]))
    def end_batch(self, outcome: str) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        if outcome == "complete":
            batch.run()
            self.take(self.pool.complete(batch))
        elif outcome == "raise" and batch.hops:
            with pytest.raises(PoolError, match="has not run"):
                self.pool.complete(batch)
            self.pool.abort(batch)
        else:
            self.pool.abort(batch)

    def take(self, outputs: list[Output]) -> None:
        for output in outputs:
            self.fed[output.stream].take(output)
            if output.final:
                self.check(self.fed[output.stream])

    def check(self, fed: Fed) -> None:
        got, wanted = np.concatenate(fed.got, axis=-1), expected(self.codec, self.direction, fed)
        assert got.shape == wanted.shape
        if self.direction == "encode":
            np.testing.assert_array_equal(got, wanted)
        else:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-11)

    @invariant()
    def slots_are_counted(self) -> None:
        if hasattr(self, "pool"):
            living = sum(not fed.ended for fed in self.fed.values())
            assert living <= self.pool.open_streams <= SLOTS

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        if self.batch is not None:
            self.pool.abort(self.batch)
        for stream, fed in self.fed.items():
            if not fed.ended and not fed.closed:
                self.pool.close(stream)
        while batch := self.pool.next_batch():
            batch.run()
            self.take(self.pool.complete(batch))
        assert [stream for stream, fed in self.fed.items() if not fed.ended] == []
        assert self.pool.open_streams == 0


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase
