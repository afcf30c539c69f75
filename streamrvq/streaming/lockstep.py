"""Streams of one age pushed together: the loop that turns inputs into steps and steps into a stream's own outputs.

Knows: an engine, a `Timeline`, a `HopBuffer`. One row of it is a live stream; ``Codec.encode`` is B rows, pushed whole
and finished, so that offline and live are the same code. Does not know: validation, rates, locks (stream.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine.base import Engine
from ..families import plan
from ..geometry import Direction
from ..system.copying import CopiedWhole
from .hop_buffer import HopBuffer
from .timeline import Tail, Timeline

#: Rows × hops of the largest step: as many as the native engine reads its weights once for. Larger ones gain nothing in
#: speed and cost memory: 64 channels × 32 hops × 512 samples of float32 are 4 MiB an activation.
MAX_ROW_HOPS = 32

Outputs = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]  #: codes or pcm; latents where asked for


class Lockstep(CopiedWhole):
    """B streams that begin, advance and end together.

    Args:
        levels: quantiser levels to encode with; for decoding, the rows of codes that `push` is given.
    """

    def __init__(
        self, engine: Engine, direction: Direction, rows: int, levels: int, tail: Tail = "pad", latents: bool = False
    ) -> None:
        self.engine, self.levels, self.latents, self.rows = engine, levels, latents, rows
        self.timeline = Timeline(plan(engine.config, direction), tail)
        self.states = engine.new_states(rows, direction)
        if direction == "encode":
            self.buffer = HopBuffer(self.timeline.plan.unit_in, np.zeros((rows, 0), np.float32))
        else:
            self.buffer = HopBuffer(1, np.zeros((rows, levels, 0), np.int64), fill=-1)
        # A step's rows: which slots, their clock and length. Written in place, for making arrays is not cheap in a core
        # whose caches a step has just filled.
        self._where = np.arange(rows), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self._done: list[Outputs] = []  # of the steps of a call that is under way, or that raised in a later step

    @property
    def owed(self) -> int:
        """Outputs computed in a call that raised, which the next call gives."""
        return sum(outputs.shape[-1] for outputs, _ in self._done)

    def feed(self, block: npt.NDArray[Any]) -> None:
        """Take inputs and compute nothing yet."""
        self.buffer.append(block)
        self.timeline.given += block.shape[-1]

    def push(self, block: npt.NDArray[Any]) -> Outputs:
        """Checked inputs ``[B, (K,) n]`` → the outputs that they complete, ``[B, K, m]`` codes or ``[B, m]`` pcm."""
        self.feed(block)
        return self._drain()

    def finish(self) -> Outputs:
        """The end of the signal: all remaining outputs."""
        self.timeline.close()
        return self._drain()

    def _drain(self) -> Outputs:
        step = self._encode if self.timeline.plan.direction == "encode" else self._decode
        while hops := min(self.timeline.ready, max(1, MAX_ROW_HOPS // max(1, self.rows))):
            self._done.append(self._step(hops, step))
        done, self._done = self._done, []
        if len(done) == 1:
            return done[0]
        outputs, latents = zip(self._nothing(), *done, strict=True)
        return np.concatenate(outputs, axis=-1), np.concatenate(latents, axis=-1) if self.latents else None

    def _step(self, hops: int, step: Callable[..., Outputs]) -> Outputs:
        if self.rows == 0:
            self.timeline.advance(hops)
            return self._nothing()
        _, clock, length = self._where
        clock.fill(self.timeline.clock)
        length.fill(self.timeline.length)
        outputs, latents = step(self.buffer.peek(hops), *self._where)
        self.buffer.drop(hops)
        own = self.timeline.advance(hops)
        return outputs[..., own], None if latents is None else latents[..., own]

    def _encode(self, pcm: npt.NDArray[Any], slots: Any, clock: Any, length: Any) -> Outputs:
        return self.engine.encode_step(pcm, self.states, slots, clock, length, self.levels, self.latents)

    def _decode(self, codes: npt.NDArray[Any], slots: Any, clock: Any, length: Any) -> Outputs:
        return self.engine.decode_step(codes, self.states, slots, clock, length), None

    def _nothing(self) -> Outputs:
        if self.timeline.plan.direction == "decode":
            return np.zeros((self.rows, 0), self.engine.dtype), None
        inner = self.levels * self.timeline.plan.quantizer.codebook_dim
        return (
            np.zeros((self.rows, self.levels, 0), np.int64),
            np.zeros((self.rows, inner, 0), self.engine.dtype) if self.latents else None,
        )
