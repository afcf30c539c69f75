"""The format chunk of WAV, as far as decoders disagree on it.

FFmpeg takes RIFX for little-endian. It also goes by the valid bits of a sample where it should go by the bytes: 24 bits
in 4 bytes, as good recorders write them, come out as noise. libsndfile goes by the bits where the bytes are more.

Knows: both mistakes. Does not know: sizes, samples.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .byte_source import ByteSource
from .chunks import MOST_CHUNKS

_EXTENSIBLE = 0xFFFE


class WavFormat(NamedTuple):
    """Which decoders can be trusted with a WAV.

    Attributes:
        ffmpeg: FFmpeg.
        libsndfile: libsndfile.
    """

    ffmpeg: bool = True
    libsndfile: bool = True


def wav_format(source: ByteSource) -> WavFormat:
    """Look at the format chunk. Without one, both decoders may say what they find."""
    if source.at(0, 4) == b"RIFX":
        return WavFormat(ffmpeg=False)
    at = 12
    for _ in range(MOST_CHUNKS):
        head = source.at(at, 8)
        if len(head) < 8 or head[:4] == b"data":
            break
        (size,) = struct.unpack("<I", head[4:])
        if head[:4] == b"fmt ":
            return _judged(source.at(at + 8, min(size, 40)))
        at += 8 + size + size % 2
    return WavFormat()


def _judged(chunk: bytes) -> WavFormat:
    if len(chunk) < 16:
        return WavFormat()
    tag, channels, frame, bits = struct.unpack("<HH8xHH", chunk[:16])
    width = (bits + 7) // 8
    packed = not frame or frame == channels * width
    if tag == _EXTENSIBLE and len(chunk) >= 40:
        (valid,) = struct.unpack("<H", chunk[18:20])
        plain = chunk[24:26] in (b"\x01\0", b"\x03\0")  # whole numbers, and floats
        if plain and packed and valid and (valid + 7) // 8 != width:
            return WavFormat(ffmpeg=False)
    return WavFormat(libsndfile=packed)
