"""Formats of raw samples in pipes and messages: one channel, little-endian, each with a name.

Knows: bytes and arrays. Does not know: which arrays are samples (pcm.py), messages, files.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .companding import A_LAW, MU_LAW, Law
from .pcm import to_int16


@dataclasses.dataclass(frozen=True)
class SampleFormat:
    """How samples are written as bytes.

    Attributes:
        dtype: of a sample as it is written.
        law: how its bytes stand for 16-bit samples; None: they are the samples.
    """

    dtype: np.dtype[Any]
    law: Law | None = None

    @property
    def width(self) -> int:
        """Bytes of a sample."""
        return self.dtype.itemsize

    def read(self, data: bytes) -> npt.NDArray[Any]:
        """The samples ``[n]`` of n · `width` bytes: float32, or int16 to be divided by 32768."""
        written = np.frombuffer(data, self.dtype)
        if self.law is not None:
            return self.law.expand(written)
        return written.astype(self.dtype.newbyteorder("="), copy=False)

    def write(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Samples as they are written: ``[n]`` of `dtype`.

        Args:
            samples: ``[n]``, float32 or float64 in [−1, 1], or int16. Floats become int16 by `to_int16`, except in
                ``f32le``. With a law, uint8 are its bytes already, and stay as they are.
        """
        if self.law is not None and samples.dtype == np.uint8:
            return samples
        if self.dtype.kind == "f":
            return (samples / np.float32(32768) if samples.dtype == np.int16 else samples).astype(self.dtype)
        whole = samples if samples.dtype == np.int16 else to_int16(samples)
        return whole.astype(self.dtype) if self.law is None else self.law.compress(whole)


#: By name. The first two are numbers, the others G.711, as telephones send it.
FORMATS = {
    "s16le": SampleFormat(np.dtype("<i2")),
    "f32le": SampleFormat(np.dtype("<f4")),
    "mulaw": SampleFormat(np.dtype("u1"), MU_LAW),
    "alaw": SampleFormat(np.dtype("u1"), A_LAW),
}


def check_rate_given(format: str, rate: int | None) -> None:
    """Refuse G.711 without a sample rate.

    Without one, samples count as having the codec's rate. For the bytes of a telephone, which have 8000 Hz, that is
    wrong, and nothing would show it but meaningless codes. To assume 8000 Hz would be as silent for anything else.

    Args:
        format: a name in `FORMATS`.
        rate: in Hz, as it was given.

    Raises:
        InputError: the format is one of G.711 and there is no rate.
    """
    if FORMATS[format].law is not None and rate is None:
        raise InputError(f"samples in {format} came without a sample rate; give one: a telephone line has 8000 Hz")
