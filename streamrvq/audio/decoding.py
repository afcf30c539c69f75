"""What decodes a source, as the reader of files sees it.

Knows: the interface, and what a decoder may say. Does not know: libraries (libsndfile.py, ffmpeg.py).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

#: Bytes of a sample in uncompressed formats, by libsndfile's names.
WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
WIDTHS["DOUBLE"] = 8
#: Samples of each channel that are decoded at a time.
STEP = 16384


class DecodingError(Exception):
    """A source that cannot be decoded, or not further. The message is a clause, such as "it ends there"."""


class NotRecognisedError(DecodingError):
    """A source that is of no format that the library reads."""


class ChangedError(DecodingError):
    """A source that goes on with another rate or number of channels. It is whole, and must be converted."""


class Decoder(Protocol):
    """A source that is decoded.

    Attributes:
        sample_rate: Hz.
        channels: of the track.
        frames: samples of each channel that there should be; 0: it is not known.
        exact: whether that is what the format itself counts.
        width: bytes of a sample where the format is uncompressed, else 0.
    """

    sample_rate: int
    channels: int
    frames: int
    exact: bool
    width: int

    def read(self) -> npt.NDArray[np.float32]:
        """The next samples, float32 ``[n, C]``; n is 0 at the end.

        Raises:
            DecodingError: it is damaged here. Whatever was decoded before has been given. Or it was closed.
        """

    def close(self) -> None:
        """Close what the decoder opened."""


def as_float(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Samples of any type as float32; whole numbers are divided by their full scale, a power of two."""
    if samples.dtype == np.float32:
        return samples
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 may hold anything; whoever uses it refuses that
            return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
    return samples.astype(np.float32) * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize))
