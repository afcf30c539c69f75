"""The plan of a batch: everything about its crops that is drawn at random, as small arrays.

Knows: what a crop is made of. Does not know: how it is drawn (data.py), samples.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

NODES = 6  #: of the equaliser


@dataclasses.dataclass(frozen=True)
class Plan:
    """``B`` crops. Each is the piece of a clip, with the piece of a second one added where ``clip[:, 1]`` is not −1.

    Attributes:
        clip: int64 ``[B, 2]``, numbers of clips of the corpus.
        start: int64 ``[B, 2]``, where the pieces begin in their clips; it may be negative.
        at: int64 ``[B, 2]``, where they begin in the samples of the corpus.
        first, last: int64 ``[B, 2]``, the part of the piece that is in its clip. All else is zeros.
        mix: float32 ``[B]``, the factor on the second piece.
        tilted: bool ``[B]``, whether the equaliser is applied.
        nodes: float64 ``[B, NODES]``, its gains in dB, before their mean is taken away.
        gain: float64 ``[B]``, the factor on all, which also has the polarity. Less where the crop would clip.
    """

    clip: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    mix: npt.NDArray[np.float32]
    tilted: npt.NDArray[np.bool_]
    nodes: npt.NDArray[np.float64]
    gain: npt.NDArray[np.float64]

    def part(self, rows: slice) -> Plan:
        """The plan of some of the crops."""
        return Plan(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @classmethod
    def empty(cls, batch: int) -> Plan:
        """A plan of ``batch`` crops, to be filled."""
        clip, start, at, first, last = (np.full((batch, 2), value, np.int64) for value in (-1, 0, 0, 0, 0))
        return cls(clip, start, at, first, last, np.zeros(batch, np.float32), np.zeros(batch, np.bool_),
                   np.zeros((batch, NODES)), np.ones(batch))  # fmt: skip
