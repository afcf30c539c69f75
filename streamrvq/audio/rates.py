"""Sample rates, and what follows from a pair of them by whole numbers alone: positions, lengths, delay.

With the pair reduced to ``up / down``, output m lies at the time of input ``m · down / up``. It is a sum over the
inputs from ``⌊m · down / up⌋ + 1 − half`` to ``⌊m · down / up⌋ + half``, where ``half`` inputs span `REACH` samples of
the lower rate. So it can leave once the last of them has come. It belongs to the time ``m / rate_out``, as input n
belongs to ``n / rate_in``: outputs come late, but are not shifted. The signal is zero before its start and after its
end.

Knows: whole numbers. Does not know: samples, or the filter's values (resampling/).
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..errors import InputError
from ..system.copying import Shared
from ..system.foreign_data import shown

#: No audio has a rate outside of these limits, and the filter grows with the ratio.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
#: More samples than any file has: what longer times are taken for.
MOST_SAMPLES = 2**53
#: Samples at the lower of two rates by which a filter reaches to either side. docs/internals/resampling.md says why so
#: many.
REACH = 48


def check_rate(
    rate: Any, what: str = "sample_rate", lowest: int = LOWEST_RATE, highest: int = HIGHEST_RATE
) -> int:  # fmt: skip
    """A sample rate in Hz as an int. A whole float is accepted, because sound devices state floats.

    Args:
        rate: what came.
        what: its name where it came in: a parameter's or an option's.
        lowest, highest: the limits, in Hz.

    Raises:
        InputError: the rate is not a whole number, or is outside the limits.
    """
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or rate != rate or not lowest <= rate <= highest or int(rate) != rate:
        raise InputError(f"{what} is {shown(rate)}; wanted {rates_between(lowest, highest)}")
    return int(rate)


def samples_in(seconds: float, rate: int) -> int:
    """Samples of a time, to the nearest, and at most `MOST_SAMPLES`: the time may be infinite.

    Args:
        seconds: at least 0, and no NaN.
        rate: Hz.
    """
    return round(min(seconds * rate, MOST_SAMPLES))


def rates_between(lowest: int, highest: int) -> str:
    """What is wanted of a sample rate, in words: one wording wherever a rate comes in."""
    return f"a whole number of Hz from {lowest} to {highest}"


@dataclasses.dataclass(frozen=True)
class Ratio(Shared):
    """Two sample rates as ``up / down`` in lowest terms: ``up`` outputs for ``down`` inputs.

    Attributes:
        up, down: whole numbers of at least 1.
    """

    up: int
    down: int

    @cached_property  # asked for several times a push
    def half(self) -> int:
        """Inputs on each side of an output that it needs, the input at its very place counted to the left."""
        return -(-REACH * max(self.up, self.down) // self.up)

    @property
    def history(self) -> int:
        """Past inputs that a stream keeps."""
        return 2 * self.half

    def place(self, output: int) -> tuple[int, int]:
        """Where an output lies: the index of the last input that is not after it, and how many ``up``-ths of an input
        it lies after that."""
        return divmod(output * self.down, self.up)

    def ready(self, inputs: int) -> int:
        """Outputs that ``inputs`` inputs complete: those with ``⌊m · down / up⌋ + half < inputs``."""
        return max(0, -(-(inputs - self.half) * self.up // self.down))

    def length(self, inputs: int) -> int:
        """Outputs of a whole signal: ``inputs · up / down``, rounded to the nearest, a half up."""
        return (2 * inputs * self.up + self.down) // (2 * self.down)


@lru_cache(maxsize=256)
def ratio(rate_in: int, rate_out: int) -> Ratio:
    """Of two rates in Hz."""
    common = math.gcd(rate_in, rate_out)
    return Ratio(rate_out // common, rate_in // common)


def output_length(samples: int, rate_in: int, rate_out: int) -> int:
    """How many samples a whole signal has at another rate. Nothing is checked.

    Args:
        samples: of the signal, at ``rate_in``, 0 or more.
        rate_in: whole Hz, 1 or more.
        rate_out: the same, of the result.

    Returns:
        ``samples · rate_out / rate_in``, rounded to the nearest, a half up.
    """
    return ratio(rate_in, rate_out).length(samples)


def held_back(rate_in: int, rate_out: int) -> float:
    """The most seconds by which a resampler's output comes late; 0.0 where the rates are equal. Nothing is checked.

    With N inputs taken, all outputs before the time ``(N − half) / rate_in`` have left, where ``half`` inputs span 48
    samples of the lower rate.

    Args:
        rate_in: of the inputs, whole Hz, 1 or more.
        rate_out: of the outputs, the same.
    """
    return 0.0 if rate_in == rate_out else ratio(rate_in, rate_out).half / rate_in
