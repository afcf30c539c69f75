"""Blocks of any size in, whole hops out.

Knows: how to keep inputs that have not been used yet, along the last axis. Does not know: clocks, edges, or what a
hop is worth (timeline.py decides how many may be taken).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ..system.copying import CopiedWhole


class HopBuffer(CopiedWhole):
    """A first-in first-out buffer of arrays ``[..., n]`` that is read ``unit`` inputs at a time.

    Args:
        unit: inputs a hop.
        like: an empty array ``[..., 0]`` that gives the leading shape and dtype.
        fill: what inputs after the end are read as.
    """

    def __init__(self, unit: int, like: npt.NDArray[Any], fill: float = 0) -> None:
        self.unit, self.held = unit, 0
        self._like, self._fill = like[..., :0], fill
        self._blocks: deque[npt.NDArray[Any]] = deque()

    def append(self, block: npt.NDArray[Any]) -> None:
        """Take ``[..., n]``, copied, for the caller may use its buffer again."""
        if block.shape[-1]:
            self._blocks.append(np.array(block, self._like.dtype))
            self.held += block.shape[-1]

    def peek(self, hops: int) -> npt.NDArray[Any]:
        """The next ``hops`` hops, ``[..., hops · unit]``, filled up past the end; nothing is used up."""
        wanted, parts = hops * self.unit, []
        for block in self._blocks:
            if wanted <= 0:
                break
            parts.append(block[..., :wanted])
            wanted -= parts[-1].shape[-1]
        if wanted > 0:
            parts.append(np.full((*self._like.shape[:-1], wanted), self._fill, self._like.dtype))
        return parts[0] if len(parts) == 1 else np.concatenate([self._like, *parts], axis=-1)

    def drop(self, hops: int) -> None:
        """Use up the next ``hops`` hops, or what is left."""
        count = min(hops * self.unit, self.held)
        self.held -= count
        while count:
            head = self._blocks[0]
            if head.shape[-1] <= count:
                self._blocks.popleft()
                count -= head.shape[-1]
            else:
                self._blocks[0] = head[..., count:]
                count = 0

    def remainder(self) -> npt.NDArray[Any]:
        """All that is held, ``[..., held]``."""
        return np.concatenate([self._like, *self._blocks], axis=-1)
