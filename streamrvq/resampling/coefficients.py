"""From the filter to coefficients: one row for each phase of a ratio.

An output that lies ``phase / up`` of an input after input n needs, from input ``n + 1 − half + j``, the filter's value
at

    u = d / q,   d = (j + 1 − half) · up − phase,   q = max(up, down),

for in units of the lower rate an input is ``up / q`` long. Where the output's rate is the lower, ``down / up`` times as
many inputs are summed, and the gain ``up / down`` makes up for it. A value is rounded to a multiple of 2⁻²⁸ of the
gain's power of two, its `unit`. So it has at most 29 bits, and its product with a sample of 24 bits is exact in double
precision.

The native library computes the same (run/resample.cpp), and is used where there is one. It keeps units, as int32.

Knows: a ratio and the filter. Does not know: samples.
"""

from __future__ import annotations

import weakref

import numpy as np
import numpy.typing as npt

from ..audio.rates import REACH, Ratio
from .filter import PIECES, Doubles, filter_pieces

#: Coefficients of all phases that are kept as a table, of 4 bytes in the native library and of 8 in numpy. A ratio with
#: more has them computed as they come.
MOST_KEPT = 1 << 19
#: A table of no more than these is kept in any case: those of the usual rates are.
ALWAYS_KEPT = 1 << 16
#: Coefficients of all larger tables of a process, so that streams at many odd rates do not fill the memory.
MOST_KEPT_TOGETHER = 1 << 23
#: Sums of an output: tap j goes to sum j mod 8.
SUMS = 8


def taps(ratio: Ratio) -> int:
    """Coefficients of a row: ``2 · half``, and zeros up to a multiple of `SUMS`."""
    return -(-2 * ratio.half // SUMS) * SUMS


def gain(ratio: Ratio) -> float:
    """The filter's, so that a constant signal keeps its value."""
    return min(1.0, ratio.up / ratio.down)


def unit(ratio: Ratio) -> float:
    """What coefficients are whole multiples of: 2⁻²⁸ of the least power of two that is not below the gain.

    With ``2ᵇ⁻¹ ≤ down / up < 2ᵇ`` the gain is at most 2¹⁻ᵇ, and so is a coefficient: at most 2²⁸ units.
    """
    return 2.0 ** -(27 + (max(ratio.up, ratio.down) // ratio.up).bit_length())


def pad(ratio: Ratio) -> int:
    """Zeros before each row of a native table: as many as there may be inputs between the first and the last window of
    four outputs, up to a multiple of `SUMS`."""
    return -(-((ratio.up - 1 + 3 * ratio.down) // ratio.up) // SUMS) * SUMS


def period(ratio: Ratio) -> int:
    """Rows of a native table. Fewer than eight are repeated, so that there are some to compute together."""
    repeats = -(-8 // ratio.up)
    return ratio.up * (repeats if repeats * ratio.up * taps(ratio) <= ALWAYS_KEPT else 1)


#: Coefficients of each larger table that is in use, by the id of its owner. Each change is one step of a dict, so that
#: threads need no lock.
_in_use: dict[int, int] = {}


def keeps(ratio: Ratio, owner: object) -> bool:
    """Whether ``owner`` may keep the rows of all phases as a table. A large one counts while ``owner`` lives."""
    size = ratio.up * taps(ratio)
    if size <= min(ALWAYS_KEPT, MOST_KEPT):
        return True
    if size > MOST_KEPT or sum(tuple(_in_use.values())) + size > MOST_KEPT_TOGETHER:
        return False
    weakref.finalize(owner, _in_use.pop, id(owner), None).atexit = False
    _in_use[id(owner)] = size
    return True


def rows(ratio: Ratio, phases: npt.NDArray[np.int64]) -> Doubles:
    """The coefficients ``[n, taps]`` for outputs of these phases."""
    parts = max(ratio.up, ratio.down)
    tap = np.arange(taps(ratio))
    from_left = (tap + 1 - ratio.half) * ratio.up - phases[:, None] + REACH * parts
    piece, rest = np.divmod(from_left * PIECES, parts)
    inside = (tap < 2 * ratio.half) & (piece >= 0) & (piece < 2 * REACH * PIECES)
    cubic = filter_pieces()[np.where(inside, piece, 0)]
    t = rest / float(parts)
    value = (((cubic[..., 3] * t + cubic[..., 2]) * t + cubic[..., 1]) * t + cubic[..., 0]) * gain(ratio)
    grid = 1.5 * 2.0**52 * unit(ratio)  # its last bit is a unit, so that a sum with it is rounded to one
    return np.where(inside, (value + grid) - grid, 0.0)
