"""A pool's steps and their results: `StreamId`, `Batch`, `Output`, and a slot's `Row`.

Knows: one stream's place in a step. Does not know: which streams are in it (pool.py), who computes, or where.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy.typing as npt

from ..errors import PoolError
from ..system.copying import CopiedWhole, NeverCopied
from .hop_buffer import HopBuffer
from .timeline import Timeline


class StreamId(NamedTuple):
    """A stream of a pool: its slot, and which of the slot's users it is."""

    slot: int
    generation: int


@dataclasses.dataclass(frozen=True, eq=False)
class Output:
    """What a completed step gave one stream."""

    stream: StreamId
    index: int  #: of the first frame (of the first sample, when decoding)
    data: npt.NDArray[Any]  #: codes int64 ``[K, n]``, or pcm ``[n]``; n may be 0
    final: bool  #: the stream has ended; its id is no longer valid


@dataclasses.dataclass
class Row(CopiedWhole):
    """A slot's stream."""

    timeline: Timeline
    buffer: HopBuffer
    levels: int
    in_flight: bool = False
    dropped: bool = False

    def feed(self, data: npt.NDArray[Any]) -> None:
        self.buffer.append(data)
        self.timeline.given += data.shape[-1]


@dataclasses.dataclass
class Batch(NeverCopied, error=PoolError, holds="a step of its pool", instead="run and complete it"):
    """One step, ready to run: k hops of every stream in it."""

    streams: tuple[StreamId, ...]
    hops: int
    _compute: Callable[[], npt.NDArray[Any]]
    _outputs: npt.NDArray[Any] | None = None

    def run(self) -> None:
        """Compute the step; only the streams in it change, and none if this raises.

        Raises:
            PoolError: it has run already; again it would move its streams on twice.
        """
        if self._outputs is not None:
            raise PoolError("a batch runs once; complete it and take the next")
        self._outputs = self._compute()
