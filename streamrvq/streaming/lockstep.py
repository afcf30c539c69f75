"""Streams of one age pushed together: the loop that turns inputs into steps and steps into a stream's own outputs.

Knows: an engine, a `Timeline`, a `HopBuffer`. One row of it is a live stream; ``Codec.encode`` is B rows, pushed whole
and finished, so that offline and live are the same code. Does not know: validation, rates, locks (stream.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.base import Engine
from ..families import plan
from ..geometry import Direction
from ..system.copying import CopiedWhole
from .call import Call
from .hop_buffer import HopBuffer
from .timeline import Tail, Timeline

Outputs = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]  #: codes or pcm; latents where asked for


class Lockstep(CopiedWhole):
    """B streams that begin, advance and end together.

    An exception from a signal handler may come between any two bytecodes. Each change is therefore one attribute store:
    inputs count when ``timeline.given`` grows, a step when ``timeline.clock`` moves on. Outputs leave with ``call``. A
    step that the engine has made and the clock has not counted is asked for again, just as it was, and comes first.

    Args:
        levels: quantiser levels to encode with; for decoding, the rows of codes that `push` is given.

    Attributes:
        call: the call that is under way, with the outputs that it has computed. Whoever hands out what `compute` gave
            stores a fresh one, as the last act.
    """

    def __init__(
        self, engine: Engine, direction: Direction, rows: int, levels: int, tail: Tail = "pad", latents: bool = False
    ) -> None:
        self.engine, self.levels, self.latents, self.rows = engine, levels, latents, rows
        self.timeline = Timeline(plan(engine.config, direction), tail)
        self.states = engine.new_states(rows, direction)
        if direction == "encode":
            self.buffer = HopBuffer(self.timeline, np.zeros((rows, 0), np.float32))
        else:
            self.buffer = HopBuffer(self.timeline, np.zeros((rows, levels, 0), np.int64), fill=-1)
        self.call = Call()
        # A step's rows: which slots, their clock and length. Written in place, for making arrays is not cheap in a core
        # whose caches a step has just filled.
        self._where = np.arange(rows), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._asked = -1, 0  # of the last step that was asked for: its clock and hops

    @property
    def owed(self) -> int:
        """Outputs computed in a call that raised, which the next call gives."""
        clock, done = self.timeline.clock, tuple(self.call.outputs.items())  # copied, for another thread may be adding
        return sum(outputs.shape[-1] for at, (outputs, _) in done if at < clock)

    def feed(self, block: npt.NDArray[Any]) -> None:
        """Take inputs and compute nothing yet."""
        self.buffer.append(block)

    def push(self, block: npt.NDArray[Any]) -> Outputs:
        """Checked inputs ``[B, (K,) n]`` → the outputs that they complete, ``[B, K, m]`` codes or ``[B, m]`` pcm."""
        self.feed(block)
        outputs, call = self.compute(), Call()
        self.call = call
        return outputs

    def finish(self) -> Outputs:
        """The end of the signal: all remaining outputs."""
        self.timeline.close()
        outputs, call = self.compute(), Call(ended=True)
        self.call = call
        return outputs

    def compute(self) -> Outputs:
        """Make all steps that can be made. The outputs owed, which stay owed until ``call`` is another."""
        while hops := self._next():
            self._step(hops)
        self.buffer.trim()
        done: list[Outputs] = list(self.call.outputs.values())
        if len(done) == 1:
            return done[0]
        outputs, latents = zip(self._nothing(), *done, strict=True)
        return np.concatenate(outputs, axis=-1), np.concatenate(latents, axis=-1) if self.latents else None

    def _next(self) -> int:
        """Hops of the next step; 0: there is none."""
        clock, hops = self._asked
        if clock == self.timeline.clock:  # asked for, and not counted: the engine may have made it
            return hops
        return min(self.timeline.ready, max(self.timeline.least, self.engine.row_hops // max(1, self.rows)))

    def _step(self, hops: int) -> None:
        timeline = self.timeline
        at = timeline.clock
        if self.rows == 0:
            timeline.clock = at + hops
            return
        slots, clock, length = self._where
        clock.fill(at)
        length.fill(timeline.length)
        inputs = self.buffer.peek(hops)
        self._asked = at, hops
        latents = None
        if timeline.plan.direction == "encode":
            outputs, latents = self.engine.encode_step(
                inputs, self.states, slots, clock, length, self.levels, self.latents
            )
        else:
            outputs = self.engine.decode_step(inputs, self.states, slots, clock, length)
        own = timeline.own(hops)
        self.call.outputs[at] = outputs[..., own], None if latents is None else latents[..., own]
        timeline.clock = at + hops

    def _nothing(self) -> Outputs:
        if self.timeline.plan.direction == "decode":
            return np.zeros((self.rows, 0), self.engine.dtype), None
        inner = self.levels * self.timeline.plan.quantizer.codebook_dim
        return (
            np.zeros((self.rows, self.levels, 0), np.int64),
            np.zeros((self.rows, inner, 0), self.engine.dtype) if self.latents else None,
        )
