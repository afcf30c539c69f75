"""The filter of every pair of rates, as pieces of cubics. Its bits are part of the program: a test holds their hash.

In units of a sample at the lower rate, with R = `REACH`, it is a sinc under a Kaiser window [1]:

    g(u) = sin(πu) / (πu) · I(y(u)) / I(y(0)),   y(u) = (β/2)² · (1 − (u/R)²),   I(y) = Σ yᵏ / (k!)²,   |u| < R

I(y) is the Bessel function I₀(2√y), which needs no root this way. The edges of the pass band and of the
stop band lie on either side of the lower rate's Nyquist frequency. β says how far apart, and how deep the stop band is.

Only additions, multiplications and divisions in double precision are used, in a fixed order: each has one result on
every machine, while the last bit of a library's sine has not. Between its points the filter is the cubic through the
nearest four. With `PIECES` points a unit, that differs from g by less than 2e-9.

Knows: one function of u. Does not know: rates, phases, samples.

[1] J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", ISCAS 1974.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt

from ..audio.rates import REACH
from ..errors import EngineError

Doubles = npt.NDArray[np.float64]

#: Points a unit.
PIECES = 128
#: Kaiser's parameter, for a stop band of −120 dB. A whole number of quarters, so that it is exact.
BETA = 12.25
#: Of the pieces as little-endian doubles. Other bits are another resampler: every token of audio at another rate may
#: change, so `RESAMPLER` has to change with it.
SHA256 = "04b283ffc8cb5fe8afe91a18172aa8741123d4a9dcdf126ef15f475b58a0ddf3"


@cache
def filter_pieces() -> Doubles:
    """The filter, ``[2 · REACH · PIECES, 4]``: piece i is, for 0 ≤ t < 1, at ``u = −REACH + (i + t) / PIECES``,
    ``c[0] + c[1]·t + c[2]·t² + c[3]·t³``.

    Raises:
        EngineError: its bits are others than `SHA256` says.
    """
    points = _points(np.arange(-REACH * PIECES - 1, REACH * PIECES + 2))
    before, at, after, beyond = (points[i : i + 2 * REACH * PIECES] for i in range(4))
    pieces = np.empty((len(at), 4))
    pieces[:, 0] = at  # the coefficients of Lagrange's cubic through t = −1, 0, 1, 2
    pieces[:, 1] = after - before / 3.0 - at / 2.0 - beyond / 6.0
    pieces[:, 2] = (before + after) / 2.0 - at
    pieces[:, 3] = (beyond - before) / 6.0 + (at - after) / 2.0
    pieces.flags.writeable = False
    came = hashlib.sha256(pieces.astype("<f8").tobytes()).hexdigest()
    if came != SHA256:
        raise EngineError(
            f"the resampler's filter has the hash {came[:8]}…; wanted {SHA256[:8]}…: this thread does not round to the "
            "nearest, so set its rounding mode back and start again"
        )
    return pieces


def _points(index: npt.NDArray[np.int64]) -> Doubles:
    """The filter at ``u = index / PIECES``."""
    u = index / float(PIECES)
    quarter = BETA / 2.0 * (BETA / 2.0)
    x = u / float(REACH)
    window = _bessel(quarter * (1.0 - x * x)) / _bessel(np.array([quarter]))
    # sin(πu) has the period 2 in u: r / PIECES of it are left, folded into its first quarter.
    units, r = np.divmod(np.abs(index), PIECES)
    angle = np.pi * (np.minimum(r, PIECES - r) / float(PIECES))
    sine = np.where(units % 2 == 0, 1.0, -1.0) * _sine(angle)
    centre = index == 0
    return np.where(centre, 1.0, sine / np.where(centre, 1.0, np.pi * np.abs(u))) * window


def _sine(angle: Doubles) -> Doubles:
    """sin of 0 … π/2: its series, the last term first. The first term left out is below 1e-18."""
    square, rest = angle * angle, np.ones_like(angle)
    for k in range(12, 0, -1):
        rest = 1.0 - square / float(2 * k * (2 * k + 1)) * rest
    return angle * rest


def _bessel(y: Doubles) -> Doubles:
    """Σ yᵏ / (k!)², the last term first. For y ≤ (β/2)² the first term left out is below 1e-40."""
    rest = np.ones_like(y)
    for k in range(60, 0, -1):
        rest = 1.0 + y / float(k * k) * rest
    return rest
