"""What writes samples to an audio file, block by block: libsndfile, and FFmpeg's libraries.

The libraries say little when a disk is full: one counts what it could not write, one says "System error". Nor can an
exception pass through them. So they write to a `Sink`, which keeps what came.

Knows: soundfile and PyAV, the time in a PEAK chunk. Does not know: which formats there are, which names ask for them
(writing.py).
"""

from __future__ import annotations

import os
from typing import IO, Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from ..errors import AudioFileError
from ..system import unraised
from ..system.foreign_data import one_line

#: Samples that an encoder is given at a time: libvorbis crashes on a long signal that comes at once.
STEP = 1 << 16
_PEAK_IN = 512  # the chunk lies within the first 128 bytes of what libsndfile writes
_PEAK_TIME = slice(12, 16)


class Sink:
    """A file as the libraries write to it. After the first exception it takes nothing more, and keeps that one."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._error: BaseException | None = None
        self._stopped = False

    def write(self, data: Any) -> int:
        """Take bytes: all of them, or after an exception none."""
        if self._error is None and not self._stopped:
            try:
                return self.file.write(data)
            except BaseException as error:
                self._error = error
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file; −1 where that cannot be done."""
        if self._error is None and not self._stopped:
            try:
                return self.file.seek(offset, whence)
            except BaseException as error:
                self._error = error
        return -1

    def tell(self) -> int:
        """Where it stands."""
        return self.seek(0, os.SEEK_CUR)

    def stop(self) -> None:
        """Take nothing more: what is written is not wanted."""
        self._stopped = True

    def check(self) -> None:
        """Raise what came."""
        unraised.check()
        if self._error is not None:
            raise self._error


class AudioEncoder(Protocol):
    """What takes samples of one channel."""

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Encode ``[n]``, at most `STEP` of them."""

    def close(self) -> None:
        """Write what is left."""


class SoundFileEncoder:
    """An `AudioEncoder` of libsndfile. Takes int16 where ``codec`` is PCM_16, else float32."""

    def __init__(self, sink: Sink, rate: int, container: str, codec: str) -> None:
        self._sink, self._has_time = sink, codec == "FLOAT" and container in ("WAV", "AIFF")
        unraised.watch()
        self._file = soundfile.SoundFile(sink, "w", rate, 1, subtype=codec, format=container)

    def write(self, samples: npt.NDArray[Any]) -> None:
        unraised.watch()
        self._file.write(samples)

    def close(self) -> None:
        unraised.watch()
        self._file.close()
        self._sink.check()
        if self._has_time:
            _clear_peak_time(self._sink.file)


class FFmpegEncoder:
    """An `AudioEncoder` of FFmpeg's libraries. Takes float32."""

    def __init__(self, sink: Sink, rate: int, container: str, codec: str) -> None:
        import av

        unraised.watch()
        self._av, self._rate, self._at = av, rate, 0
        # "bitexact" leaves out random identifiers and the library's version: equal samples are equal files.
        options = {"fflags": "+bitexact"}
        if container in ("ipod", "mp4"):  # which state how long they are, else in milliseconds: a millisecond is lost
            options["movie_timescale"] = str(rate)
        self._container = av.open(sink, "w", format=container, options=options)
        self._stream: Any = self._container.add_stream(codec, rate=rate, layout="mono")

    def write(self, samples: npt.NDArray[Any]) -> None:
        planes = np.ascontiguousarray(samples[None], np.float32)
        frame = self._av.AudioFrame.from_ndarray(planes, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = self._rate, self._at
        unraised.watch()
        self._container.mux(self._stream.encode(frame))
        self._at += len(samples)

    def close(self) -> None:
        unraised.watch()
        self._container.mux(self._stream.encode(None))
        self._container.close()


def unwritable(path: str | os.PathLike[str], error: Exception) -> AudioFileError:
    """What is said of a file that cannot be written, in the words of what came."""
    reason = getattr(error, "strerror", None) or one_line(error)
    named = getattr(error, "filename", None)
    place = "" if named is None or os.fspath(named) == os.fspath(path) else f": {os.fspath(named)}"
    return AudioFileError(f"cannot write {os.fspath(path)} ({reason}{place}); check its name, its folder and the disk")


def _clear_peak_time(file: IO[bytes]) -> None:
    """Set the time of writing in a finished WAV or AIFF file of floats to zero. Leaves the position where it was.

    libsndfile puts it there unasked, and soundfile has no setting for it. Without it equal samples are equal files. The
    PEAK chunk is ``b"PEAK", size, version, seconds since 1970, ...``, each number of 32 bits, before the samples.

    Args:
        file: readable, writable and seekable.
    """
    position = file.tell()
    file.seek(0)
    at = file.read(_PEAK_IN).find(b"PEAK")
    if at >= 0:
        file.seek(at + _PEAK_TIME.start)
        file.write(bytes(_PEAK_TIME.stop - _PEAK_TIME.start))
    file.seek(position)
