"""Blocks of any size in, whole hops out.

Knows: how to keep inputs that have not been used yet, along the last axis. Does not know: edges, or how many hops may
be taken. It counts nothing itself: what has come and what has been used are the timeline's ``given`` and ``clock``, so
that each of them changes by one store, and an exception at any place leaves the old inputs or the new ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.copying import CopiedWhole
from .timeline import Timeline

#: Hops that there is room for beyond what is held, so that a live stream seldom needs a new array; or so many inputs,
#: where hops are long.
_SPARE_HOPS, _SPARE_INPUTS = 8, 4096


class HopBuffer(CopiedWhole):
    """The inputs ``[..., n]`` of a stream that no step has used.

    Args:
        timeline: the stream's. Its ``given`` grows with `append`; its ``clock`` says what is used up.
        like: an empty array ``[..., 0]`` that gives the leading shape and dtype.
        fill: what inputs after the end are read as.
    """

    def __init__(self, timeline: Timeline, like: npt.NDArray[Any], fill: float = 0) -> None:
        self._timeline, self._fill, self._unit = timeline, fill, timeline.plan.unit_in
        self._spare = min(_SPARE_HOPS * self._unit, max(self._unit, _SPARE_INPUTS))
        # An array, and the index in the stream of its first input. Beyond `given` it holds nothing of meaning.
        self._window = np.array(like[..., :0]), 0

    @property
    def held(self) -> int:
        """Inputs that no step has used."""
        timeline = self._timeline
        return max(0, timeline.given - timeline.clock * self._unit)

    def append(self, block: npt.NDArray[Any]) -> None:
        """Take ``[..., n]``, copied, for the caller may use its buffer again. They count with the last act."""
        count = block.shape[-1]
        if not count:
            return
        array, first = self._window
        stop = self._timeline.given - first
        if stop + count > array.shape[-1]:
            self._make_room(count)
            array, first = self._window
            stop = self._timeline.given - first
        array[..., stop : stop + count] = block
        self._timeline.given += count

    def _make_room(self, count: int) -> None:
        """Move what is held to a new array with room for ``count`` more."""
        held = self.remainder()
        size = held.shape[-1] + count + max(held.shape[-1], self._spare if count else 0)
        array = np.empty((*held.shape[:-1], size), held.dtype)
        array[..., : held.shape[-1]] = held
        self._window = array, self._timeline.given - held.shape[-1]

    def peek(self, hops: int) -> npt.NDArray[Any]:
        """The next ``hops`` hops, ``[..., hops · unit_in]``, filled up past the end; nothing is used up."""
        array, first = self._window
        wanted, start = hops * self._unit, self._timeline.clock * self._unit - first
        if first + start + wanted <= self._timeline.given:
            return array[..., start : start + wanted]
        held = self.remainder()
        missing = wanted - held.shape[-1]
        return np.concatenate([held, np.full((*held.shape[:-1], missing), self._fill, held.dtype)], axis=-1)

    def remainder(self) -> npt.NDArray[Any]:
        """All that is held, ``[..., held]``."""
        array, first = self._window
        stop = self._timeline.given - first
        return array[..., stop - self.held : stop]

    def trim(self) -> None:
        """Let go of an array that is much larger than what is held."""
        size = self._window[0].shape[-1]
        if size > 4 * self._spare and size > 4 * (self.held + self._spare):
            self._make_room(0)
