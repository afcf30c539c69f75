"""Which resampler made something: the name that files and records hold, so that two of them are never mixed.

Knows: names. Does not know: where they are written.
"""

from __future__ import annotations

#: This one: a FIR filter that reaches 48 samples. The number after the dash goes up with every change that may change a
#: bit of any output: of the filter's pieces, the rounding of coefficients, the order of sums, lengths or places.
RESAMPLER = "fir48-1"
#: That of version 0.1.0, whose files do not name it.
FORMER_RESAMPLER = "soxr"


def resampler_between(rate_in: int, rate_out: int) -> str | None:
    """The name of what converts between two rates in Hz. None if they are equal: then nothing does."""
    return None if rate_in == rate_out else RESAMPLER
