"""Sample-rate conversion whose bits are the same everywhere: a filter, its sums, and the state of a stream.

Knows: two rates and mono samples. Does not know: codecs, hops, files, or who pushes.
"""

from .resampler import Resampler, ResamplerState, resample_rows, resampler

__all__ = ["Resampler", "ResamplerState", "resample_rows", "resampler"]
