"""Audio files, read block by block and written whole.

Knows: soundfile, and how a damaged file can be recognised. Does not know: codecs, rates to convert to, real time.
"""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Iterator
from itertools import repeat, takewhile
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from ..errors import AudioFileError, InputError
from ..system.atomic_file import replacing
from ..system.copying import NeverCopied
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import check_regular
from .headers import ogg_is_cut, sample_extent
from .pcm import Pcm, as_array, as_pcm, to_int16
from .rates import check_rate

Path = str | os.PathLike[str]

# Bytes of a sample in uncompressed formats. In other formats the full length of a truncated file is unknown.
_WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
_WIDTHS["DOUBLE"] = 8

_REMEDY = "wanted the whole file: copy it again, or keep what there is with `ffmpeg -i OLD NEW.wav`"

# soundfile's own errors, and what its code did not expect. Not all exceptions: a signal's handler raises others.
_DAMAGE = (soundfile.SoundFileError, ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)

# Samples of each channel that are decoded at a time. soundfile seeks after every read, and then mpg123 decodes some
# frames again: with 4096 an MP3 takes 1.6 times as long.
_STEP = 16384


def open_audio(path: Path, downmix: bool = False, channel: int | None = None) -> AudioReader:
    """Open a file for reading: WAV, FLAC, Ogg, MP3, AIFF and everything else that libsndfile reads.

    Args:
        path: the file.
        downmix: accept a file of several channels, as their mean. Without it such a file is refused.
        channel: accept a file of several channels, as this one of them, from 0.

    Raises:
        AudioFileError: no such file, not audio, or truncated, if the header shows that.
        InputError: several channels without ``downmix`` or ``channel``, or no such channel.
    """
    return AudioReader(path, downmix, channel)


class AudioReader(NeverCopied, error=AudioFileError, holds="an open file", instead="open the file again"):
    """An open audio file, read as float32 mono in [−1, 1]. A context manager. Not for two threads at once.

    An exception such as KeyboardInterrupt costs no samples: read again. If it came while they were decoded, then where
    the file stands is not known any more, and every later read is refused.

    Attributes:
        path: as it was given.
        sample_rate: Hz.
        channels: in the file. The samples that are read are mono.
        frames: samples of each channel, according to the file.
        position: samples read so far.
    """

    def __init__(self, path: Path, downmix: bool = False, channel: int | None = None) -> None:
        self.path, self._channel = os.fspath(path), channel
        with foreign_data(AudioFileError, self.path, _REMEDY):
            self._file = _open(self.path)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int = self._file.frames
        self.position = 0
        self._ahead: list[Pcm] = []  # decoded, but not read yet
        self._decoded, self._over, self._damage = 0, False, ""
        self._decoding = False  # soundfile has moved on, and nobody has its samples yet
        try:
            with foreign_data(AudioFileError, self.path, _REMEDY):
                self._check(downmix)
        except BaseException:
            self.close()
            raise

    def _check(self, downmix: bool) -> None:
        if self._channel is not None and not 0 <= self._channel < self.channels:
            raise InputError(f"{self.path} has {self.channels} channels; wanted channel {self._channel}, from 0")
        if self.channels != 1 and not downmix and self._channel is None:
            raise InputError(
                f"{self.path} has {self.channels} channels; wanted 1: pass downmix=True (--downmix) to take their mean"
            )
        extent = sample_extent(self.path)
        if extent is not None and extent.held < extent.wanted:
            width = self.channels * _WIDTHS.get(self._file.subtype, 0)
            ends = f"holds {extent.held} of its {extent.wanted} bytes of samples"
            if width:
                ends = f"ends at sample {self.frames} of {extent.wanted // width}"
            raise AudioFileError(f"{self.path} is cut off: it {ends}; {_REMEDY}")
        if self._file.format == "OGG" and ogg_is_cut(self.path):
            raise AudioFileError(
                f"{self.path} is cut off: it ends at sample {self.frames}, without a stream's last page; {_REMEDY}"
            )

    def read(self, samples: int) -> Pcm:
        """The next samples, float32 ``[n]``: as many as asked for, fewer at the end of the file, then none.

        Raises:
            AudioFileError: the file is damaged here, or ends too early. All samples before that are returned first.
                Or an exception came while it was decoded.
            InputError: ``samples`` is less than 1.
        """
        if samples < 1:
            raise InputError(f"a block of {samples} samples was asked for; wanted at least 1")
        if self._decoding:
            raise AudioFileError(
                f"{self.path} was interrupted while it was decoded, after sample {self.position}; open it again"
            )
        count = sum(map(len, self._ahead))
        while count < samples and not self._over:
            count += self._decode()
        if self._damage and not count:
            raise AudioFileError(
                f"{self.path} is damaged after sample {self.position} of {self.frames}: {self._damage}; {_REMEDY}"
            )
        pcm = np.concatenate([np.zeros(0, np.float32), *self._ahead])
        pcm, rest = pcm[:samples], [pcm[samples:]]
        position = self.position + len(pcm)
        # From here to the end of the frame nothing is called, so no interrupt comes after the first store.
        self._ahead, self.position = rest, position
        return pcm

    def _decode(self) -> int:
        """Decode a block of fixed size, because in an MP3 the last bit depends on how the reads are divided.

        Returns how many samples it has.
        """
        self._decoding = True
        try:
            block = self._file.read(_STEP, dtype="float32", always_2d=True)
        except _DAMAGE:  # the message is about libsndfile
            self._over, self._damage = True, "it cannot be decoded there"
            self._decoding = False
            return 0
        self._decoded += len(block)
        self._over = len(block) < _STEP
        if self._over and self._decoded < self.frames:
            self._damage = "it ends there"
        self._ahead.append(_mean(block if self._channel is None else block[:, self._channel : self._channel + 1]))
        self._decoding = False
        return len(block)

    def blocks(self, samples: int) -> Iterator[Pcm]:
        """The rest of the file in blocks of ``samples``, float32 ``[n]``, the last one shorter. Raises as `read`."""
        # A generator would end with an exception, and the next block after it would look like the end of the file.
        return takewhile(len, map(self.read, repeat(samples)))

    def close(self) -> None:
        """Close the file. It may be closed more than once."""
        self._file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: str) -> Any:
    try:
        check_regular(path)
        with open(path, "rb") as probe:
            empty = not probe.read(1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or one_line(error)
        raise AudioFileError(f"cannot open {path}: {reason}; check the name and the rights") from None
    if empty:
        raise AudioFileError(f"{path} is empty (0 bytes); wanted an audio file: copy it again")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        # TypeError: soundfile treats .raw as samples without a header and wants their rate.
        reason = one_line(getattr(error, "error_string", None) or error)
        raise AudioFileError(
            f"{path} is no audio file that can be read ({reason.rstrip('.')}); wanted WAV, FLAC, Ogg, MP3, AIFF "
            "or the like: convert it, for example with `ffmpeg -i OLD NEW.wav`"
        ) from None


def _mean(block: npt.NDArray[np.float32]) -> Pcm:
    """The mean ``[n]`` of ``[n, C]``. Added in channel order in float64, so that it does not depend on blocks."""
    if block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0])
    with np.errstate(invalid="ignore", over="ignore"):  # a float file may hold anything; whoever uses it refuses that
        total = block[:, 0].astype(np.float64)
        for channel in range(1, block.shape[1]):
            total += block[:, channel]
        mean: Pcm = (total / block.shape[1]).astype(np.float32)
    return mean


def write_wav(path: Path, pcm: Any, sample_rate: int, subtype: Literal["PCM_16", "FLOAT"] = "PCM_16") -> None:
    """Write a mono WAV file, whole or not at all. An older file is replaced when the new one is complete.

    Args:
        path: the file; its folder must exist.
        pcm: ``[samples]``, float32 or float64 in [−1, 1], or int16.
        sample_rate: Hz.
        subtype: ``"PCM_16"``: rounded to ``1 / 32768``, the inverse of reading, and clipped at full scale;
            ``"FLOAT"``: float32, unchanged.

    Raises:
        InputError: bad samples, rate or subtype.
        AudioFileError: the file cannot be written.
    """
    if subtype not in ("PCM_16", "FLOAT"):
        raise InputError(f'subtype is {subtype!r}; wanted "PCM_16" or "FLOAT"')
    rate = check_rate(sample_rate)
    array = as_array(pcm, "samples")
    samples: npt.NDArray[Any] = as_pcm(array.astype(np.float32) if array.dtype == np.float64 else array)
    if subtype == "PCM_16":  # libsndfile would scale by 32767, which is not the inverse of reading
        samples = to_int16(samples)
    try:
        with replacing(pathlib.Path(path)) as part:
            soundfile.write(part.name, samples, rate, subtype=subtype, format="WAV")
            if os.path.getsize(part.name) < samples.nbytes:  # libsndfile counts what it could not write
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        # ValueError: a NUL in the name. AssertionError: soundfile asserts that everything was written.
        reason = one_line(error) or os.strerror(errno.ENOSPC)
        raise AudioFileError(
            f"cannot write {os.fspath(path)} ({reason}); check its folder, its rights, the disk"
        ) from None
