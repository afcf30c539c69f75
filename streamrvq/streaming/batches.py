"""A pool's steps and their results: `StreamId`, `Batch`, `Output`, and a slot's `Row`.

Knows: one stream's place in a step. Does not know: which streams are in it (pool.py), who computes, or where.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.base import Ints
from ..errors import PoolError
from ..system.copying import CopiedWhole, NeverCopied
from ..system.turn import Turn
from .hop_buffer import HopBuffer
from .rates import InputRate, OutputRate
from .timeline import Timeline


class StreamId(NamedTuple):
    """A stream of a pool: its slot, and which of the slot's users it is."""

    slot: int
    generation: int


@dataclasses.dataclass(frozen=True, eq=False)
class Output:
    """What a completed step gave one stream."""

    stream: StreamId
    index: int  #: of the first frame (of the first sample, at the stream's rate, when decoding)
    data: npt.NDArray[Any]  #: codes int64 ``[K, n]``, or pcm ``[n]``; n may be 0
    final: bool  #: the stream has ended; its id is no longer valid


@dataclasses.dataclass
class Row(CopiedWhole):
    """A slot's stream."""

    timeline: Timeline
    buffer: HopBuffer
    levels: int
    generation: int
    input_rate: InputRate | None = None
    output_rate: OutputRate | None = None
    in_flight: bool = False  # in the batch that is out, if one is
    dropped: bool = False

    @property
    def taken(self) -> int:
        """Inputs fed, at the rate that they come at."""
        return self.timeline.given if self.input_rate is None else self.input_rate.state.taken

    @property
    def given(self) -> int:
        """Outputs given, at the rate that they leave at: the index of the next one."""
        emitted = self.timeline.emitted
        return emitted if self.output_rate is None else self.output_rate.given(emitted)

    def feed(self, inputs: npt.NDArray[Any]) -> None:
        """Take checked inputs."""
        if self.input_rate is None:
            self.buffer.append(inputs)
        else:
            self.input_rate.feed(inputs, self.buffer.append)

    def close(self) -> None:
        """No more inputs will come."""
        if self.input_rate is not None:
            self.input_rate.end(self.buffer.append)
        self.timeline.close()

    def result(self, stream: StreamId, outputs: npt.NDArray[Any], hops: int) -> Result:
        """What ``hops`` hops do to the stream, whose outputs were ``outputs``. Its counts stay as they
        are, so asked again it gives the same."""
        timeline = self.timeline
        if timeline.plan.direction == "encode":
            outputs = outputs[: self.levels]
        data = outputs[..., timeline.own(hops)]
        final, index = timeline.length >= 0 and timeline.ready <= hops, self.given
        if self.output_rate is not None:
            data = self.output_rate.convert(data, timeline.emitted, final)
        return Result(self, timeline.clock + hops, Output(stream, index, data, final))

    def is_left(self, batch_out: bool) -> bool:
        """Whether nobody needs it any more: its stream was dropped, and no step has it."""
        return self.dropped and not (batch_out and self.in_flight)


class Result(NamedTuple):
    """What a batch does to a stream when it is completed."""

    row: Row
    clock: int  # the row's, after it
    output: Output


@dataclasses.dataclass
class Batch(NeverCopied, error=PoolError, holds="a step of its pool", instead="run and complete it"):
    """One step, ready to run: k hops of every stream in it."""

    streams: tuple[StreamId, ...]
    hops: int
    _compute: Callable[[], npt.NDArray[Any]]  # the same outputs each time; only the first time computes them
    _clock: Ints  # of the streams that the step moves on, which come first
    _outputs: npt.NDArray[Any] | None = None
    _results: list[Result] | None = None
    _turn: Turn = dataclasses.field(default_factory=Turn)

    @property
    def slots(self) -> Ints:
        """The slots of the streams that the step moves on."""
        return np.array([stream.slot for stream in self.streams[: len(self._clock)]], np.int64)

    def run(self) -> None:
        """Compute the step; only the streams in it change.

        If this raises, either none of them has changed, or all have and the outputs are kept, as when
        KeyboardInterrupt comes while the step ends. Run it again, or abort it; nothing is lost or computed twice.

        Raises:
            PoolError: it has run already: complete it; or it runs on another thread.
            EngineError: the engine cannot compute, as where its GPU failed.
        """
        if self._outputs is not None:
            raise PoolError("a batch runs once; complete it and take the next")
        if not self._turn.take(sys._getframe()):
            raise PoolError("a batch runs once, and another thread is at it; wait for that run to return")
        turn = Turn()
        try:
            self._outputs = self._compute()
        finally:
            self._turn = turn
