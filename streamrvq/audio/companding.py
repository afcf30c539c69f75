"""G.711, the samples of telephones: µ-law and A-law, one byte each, to and from 16-bit samples.

A law has 128 magnitudes in eight segments of sixteen steps, and each segment's steps are twice as wide as those of the
one before. A byte names a sign and a step. It stands for the middle of that step, so expanding and compressing again
gives the byte back. The only exception is µ-law's negative zero, which becomes zero.

The tables follow ITU-T G.711. Its 14-bit (µ-law) and 13-bit (A-law) values are scaled to 16 bits, as everywhere. G.711
does not say to which of two steps the value between them belongs. Here it is the one farther from zero, for both signs,
as in libsndfile. Python's ``audioop`` expands alike, and compresses positive samples alike. It rounds negative ones
down before it looks for their step, so that some get the next: in µ-law −1 becomes −8.

Knows: whole numbers. Does not know: floats (pcm.py), names of formats (sample_formats.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_NUMBERS = np.arange(128)
_SEGMENT, _STEP = _NUMBERS >> 4, _NUMBERS & 15
#: The bit of a byte that is set for positive samples.
_POSITIVE = 0x80


class Law:
    """One of the two laws.

    Args:
        least: ``[128]``, the least 16-bit magnitude of each step.
        middle: ``[128]``, the magnitude that each step stands for.
        mask: which of the other seven bits a line inverts.
    """

    def __init__(self, least: npt.NDArray[Any], middle: npt.NDArray[Any], mask: int) -> None:
        self._least, self._mask = least, mask
        codes = np.arange(256) ^ mask
        magnitudes = middle[codes & 127]
        self._expanded = np.where(codes & _POSITIVE, magnitudes, -magnitudes).astype(np.int16)

    def expand(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
        """The samples of bytes, uint8 ``[n]``: int16 ``[n]``."""
        samples: npt.NDArray[np.int16] = self._expanded[codes]
        return samples

    def compress(self, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """The bytes of samples, int16 ``[n]``: uint8 ``[n]``. What is louder than the loudest step gets that step."""
        wide = samples.astype(np.int32)  # −32768 has no magnitude in 16 bits
        steps = np.searchsorted(self._least, np.abs(wide), side="right") - 1
        return ((steps | np.where(wide < 0, 0, _POSITIVE)) ^ self._mask).astype(np.uint8)


def _mu_law() -> Law:
    width = 1 << _SEGMENT  # half a step
    least = (2 * _STEP + 32) * width - 33
    return Law(4 * np.maximum(least, 0), 4 * (least + width), 0x7F)  # the first step is half as wide: zero is its value


def _a_law() -> Law:
    width = 1 << np.maximum(_SEGMENT - 1, 0)
    least = (2 * _STEP + 32 * (_SEGMENT > 0)) * width
    return Law(8 * least, 8 * (least + width), 0x55)


MU_LAW, A_LAW = _mu_law(), _a_law()
