"""Rotary positions: the angles by which an attention turns queries and keys, from the position alone.

They follow transformers: inverse frequencies, and their products with the position, are rounded to float32 whatever a
model computes in. moshi has another formula for the frequencies, which differs by 4e-6 radians at position 250 and by
2e-3 after an hour.

Knows: the formula and its roundings. Does not know: engines, attention.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Singles = npt.NDArray[np.float32]


@lru_cache(maxsize=16)
def inverse_frequencies(dim: int, theta: float) -> Singles:
    """``1 / theta ^ (2i / dim)`` for each pair of channels, float32 ``[dim / 2]``; power and quotient are rounded."""
    exponents = (np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)).astype(np.float64)
    powers = np.power(np.float64(theta), exponents).astype(np.float32)
    frequencies: Singles = np.float32(1) / powers
    frequencies.flags.writeable = False
    return frequencies


def rotations(positions: npt.NDArray[np.int64], dim: int, theta: float) -> tuple[Singles, Singles]:
    """Cosines and sines of ``positions [...]``, float32 ``[..., dim / 2]``: of the rounded angle, rounded once."""
    rounded: Any = positions.astype(np.float32)[..., None] * inverse_frequencies(dim, theta)
    angles = rounded.astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
