"""The time of writing in float files, which libsndfile puts there unasked. Without it equal samples are equal files.

Its PEAK chunk (WAV, AIFF) is ``b"PEAK", size, version, seconds since 1970, ...``, each number of 32 bits, before the
samples. soundfile has no setting for it. Zero is a time that no reader cares about.

Knows: where that number lies. Does not know: samples, formats.
"""

from __future__ import annotations

from typing import IO

_HEAD = 512  # the chunk lies within the first 128 bytes of what libsndfile writes
_TIME = slice(12, 16)


def clear_peak_time(file: IO[bytes]) -> None:
    """Set the time in a finished WAV or AIFF file of floats to zero, if it has one. Leaves the position where it was.

    Args:
        file: readable, writable and seekable.
    """
    position = file.tell()
    file.seek(0)
    at = file.read(_HEAD).find(b"PEAK")
    if at >= 0:
        file.seek(at + _TIME.start)
        file.write(bytes(_TIME.stop - _TIME.start))
    file.seek(position)
