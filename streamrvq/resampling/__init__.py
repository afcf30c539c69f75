"""Sample-rate conversion whose bits are the same everywhere: a filter, its sums, and the state of a stream.

Knows: two rates and mono samples. Does not know: codecs, hops, files, or who pushes.
"""

from .identity import FORMER_RESAMPLER, RESAMPLER, resampler_between
from .resampler import Resampler, ResamplerState, resample_rows, resampler

__all__ = [
    "FORMER_RESAMPLER", "RESAMPLER", "Resampler", "ResamplerState", "resample_rows", "resampler", "resampler_between",
]  # fmt: skip
