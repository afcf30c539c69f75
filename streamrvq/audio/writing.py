"""Audio files in the format that their names ask for, written whole or not at all.

    .wav .flac .aiff .aif .au .caf .w64      every sample, rounded to 16 bits (or float32, where the format has it)
    .mp3 .ogg .oga .opus .m4a .mp4 .mka .webm      compressed with loss

Equal samples give equal files, whenever they are written; but each Ogg file has a random serial number, as its format
wants it.

Knows: which formats there are, their sample rates, and whether a file could be written at all. Does not know: codecs,
where samples come from, the libraries that encode (encoders.py).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import AudioFileError, InputError, StreamClosedError
from ..system.atomic_file import check_writable, replacing
from ..system.foreign_data import shown
from .encoders import STEP, AudioEncoder, FFmpegEncoder, Sink, SoundFileEncoder, unwritable
from .pcm import Pcm, as_array, as_pcm, to_int16
from .rates import HIGHEST_RATE, check_rate

FilePath = str | os.PathLike[str]

#: Bytes of samples in a format whose sizes have 32 bits, and count some chunks.
_LARGEST = (1 << 32) - (1 << 16)
#: libvorbis crashes not far above; FLAC states the rate in 20 bits, of which libFLAC takes so many.
_VORBIS_HIGHEST, _FLAC_HIGHEST = 192_000, 655_350
_OPUS = (8000, 12000, 16000, 24000, 48000)
_MPEG = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)


@dataclasses.dataclass(frozen=True)
class AudioFormat:
    """A format of audio files, as names with its suffix ask for it.

    Attributes:
        name: of the container, as its library calls it.
        codec: the same of what compresses the samples; for soundfile its subtype.
        rates: sample rates that it has, Hz; empty: all up to ``highest``.
        floats: whether it can hold float32 samples.
        by: the library that writes it.
        highest: of the sample rates, Hz.
        short: whether its sizes have 32 bits.
    """

    name: str
    codec: str
    rates: tuple[int, ...] = ()
    floats: bool = False
    by: str = "soundfile"
    highest: int = HIGHEST_RATE
    short: bool = False

    def rate_for(self, rate: int) -> int:
        """The rate, Hz, at which a signal of ``rate`` is written if nobody asks for another: the next that there is."""
        if not self.rates or rate in self.rates:
            return min(rate, self.highest)
        return min([other for other in self.rates if other > rate] or [max(self.rates)])


FORMATS = {
    ".wav": AudioFormat("WAV", "PCM_16", floats=True, short=True),
    ".flac": AudioFormat("FLAC", "PCM_16", highest=_FLAC_HIGHEST),
    ".ogg": AudioFormat("OGG", "VORBIS", highest=_VORBIS_HIGHEST),
    ".oga": AudioFormat("OGG", "VORBIS", highest=_VORBIS_HIGHEST),
    ".opus": AudioFormat("OGG", "OPUS", _OPUS),
    ".mp3": AudioFormat("MP3", "MPEG_LAYER_III", _MPEG),
    ".m4a": AudioFormat("ipod", "aac", _AAC, by="av"),
    ".mp4": AudioFormat("mp4", "aac", _AAC, by="av"),
    ".mka": AudioFormat("matroska", "libopus", _OPUS, by="av"),
    ".webm": AudioFormat("webm", "libopus", _OPUS, by="av"),
    ".aiff": AudioFormat("AIFF", "PCM_16", floats=True, short=True),
    ".aif": AudioFormat("AIFF", "PCM_16", floats=True, short=True),
    ".au": AudioFormat("AU", "PCM_16", floats=True, short=True),
    ".caf": AudioFormat("CAF", "PCM_16", floats=True),
    ".w64": AudioFormat("W64", "PCM_16", floats=True),
}


def format_of(path: FilePath) -> AudioFormat:
    """The format that a file's name asks for.

    Raises:
        InputError: its suffix is none of `FORMATS`. The message lists them.
    """
    suffix = Path(path).suffix
    found = FORMATS.get(suffix.lower())
    if found is None:
        what = f"ends in {shown(suffix)}, a format that is not written" if suffix else "has no suffix"
        raise InputError(f"{os.fspath(path)} {what}; wanted a name that ends in one of {' '.join(FORMATS)}")
    return found


def check_target(path: FilePath, rate: int, floats: bool = False) -> None:
    """Refuse what `write_audio` could not write, before its samples are computed.

    Raises:
        InputError: the name asks for a format that is not written, or that lacks this rate, or float32.
        AudioFileError: the file cannot lie there.
    """
    wanted = format_of(path)
    if floats and not wanted.floats:
        able = " ".join(suffix for suffix, format in FORMATS.items() if format.floats)
        raise InputError(f"{os.fspath(path)} cannot hold float32 samples; leave f32le out, or name one of {able}")
    if rate > wanted.highest or (wanted.rates and rate not in wanted.rates):
        listed = ", ".join(map(str, wanted.rates)) or f"at most {wanted.highest}"
        raise InputError(f"{os.fspath(path)} cannot have {rate} Hz; wanted a rate that the format has: {listed}")
    try:
        check_writable(path)
    except OSError as error:
        raise unwritable(path, error) from None


class AudioWriter:
    """A mono audio file in the format of its name, written as its samples come, whole or not at all.

    An older file is replaced when the `with` block ends; after an exception it is still there. Memory does not grow.

    Args:
        path: the file; its folder must exist.
        sample_rate: Hz.
        floats: write float32, unchanged, where the format has it, instead of 16 bits.
        samples: how many there will be at most; None: nobody knows. It decides whether a WAV file becomes RF64.

    Attributes:
        count: samples written so far.

    Raises:
        InputError: a format or rate as `check_target`. The end of the block raises it where there was no sample,
            which only WAV can hold.
        AudioFileError: the file cannot be written. So do `write` and the end of the block.
    """

    def __init__(self, path: FilePath, sample_rate: int, floats: bool = False, samples: int | None = None) -> None:
        self._path, self._rate, self._floats = path, check_rate(sample_rate), floats
        check_target(path, self._rate, floats)
        self._format = format_of(path)
        self._integers = self._format.codec == "PCM_16" and not floats
        self._width = (2 if self._integers else 4) if self._format.short else 0
        self._large = samples is not None and samples * self._width >= _LARGEST
        self._held, self.count = list[Pcm](), 0
        self._state = "not opened yet"

    def __enter__(self) -> AudioWriter:
        if self._state != "not opened yet":
            raise StreamClosedError(f"a writer of {os.fspath(self._path)} was entered before; make another one")
        self._stack = ExitStack()
        with self._raising_ours():
            self._sink = Sink(self._stack.enter_context(replacing(Path(self._path))))
            try:
                self._encoder = self._opened()
            except BaseException:
                self._stack.__exit__(*sys.exc_info())
                raise
        self._state = "open"
        return self

    def _opened(self) -> AudioEncoder:
        container, codec = self._format.name, "FLOAT" if self._floats else self._format.codec
        if self._large and container == "WAV":  # with sizes of 64 bits, which fewer programs know
            container = "RF64"
        make = FFmpegEncoder if self._format.by == "av" else SoundFileEncoder
        return make(self._sink, self._rate, container, codec)

    def write(self, pcm: Any) -> None:
        """Add samples: ``[n]``, float32 or float64 in [−1, 1], or int16. Louder ones, up to ±128, are clipped at full
        scale, unless the file holds float32.

        Raises `InputError` for samples that are none or beyond ±128, and `StreamClosedError` outside of the `with`
        block.
        """
        if self._state != "open":
            path = os.fspath(self._path)
            raise StreamClosedError(f"samples came for {path}, which is {self._state}; write them in its `with` block")
        array = as_array(pcm, "samples")
        if array.dtype == np.float64:
            with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
                array = array.astype(np.float32)
        samples = as_pcm(array, position=self.count)
        self.count += len(samples)
        if self.count * self._width >= _LARGEST and not (self._large and self._format.name == "WAV"):
            raise AudioFileError(
                f"{os.fspath(self._path)} would be larger than 4 GiB, which its format cannot say; wanted a name that "
                "ends in .flac, .caf or .w64"
            )
        self._held.append(samples)
        if sum(map(len, self._held)) >= STEP:
            self._encode(whole=False)

    def _encode(self, whole: bool) -> None:
        """Encode what is held: all of it, or blocks of `STEP`, so that it does not matter how the samples came."""
        held = np.concatenate([np.zeros(0, np.float32), *self._held])
        end = len(held) if whole else len(held) - len(held) % STEP
        self._held = [held[end:].copy()]
        with self._raising_ours():
            for at in range(0, end, STEP):
                block = held[at : min(at + STEP, end)]
                # libsndfile would scale by 32767, which is not the inverse of reading.
                kept = to_int16(block) if self._integers else block if self._floats else np.clip(block, -1, 1)
                self._encoder.write(kept)
                self._sink.check()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = "closed already"
        if kind is None:
            try:
                self._finish()
                return
            except BaseException:
                self._abandon(*sys.exc_info())
                raise
        self._abandon(kind, error, trace)

    def _finish(self) -> None:
        if not self.count and self._format.name != "WAV":
            raise InputError(
                f"there is no sample to be written to {os.fspath(self._path)}; an empty file has to be a .wav"
            )
        self._encode(whole=True)
        with self._raising_ours():
            self._encoder.close()
            self._sink.check()
            self._stack.close()

    def _abandon(self, *error: Any) -> None:
        self._sink.stop()
        with suppress(BaseException):  # what came first is told
            self._encoder.close()
        with suppress(BaseException):
            self._stack.__exit__(*error)

    @contextmanager
    def _raising_ours(self) -> Iterator[None]:
        """What the libraries raise inside becomes an `AudioFileError`, in the words of what came first."""
        try:
            try:
                yield
            except Exception:
                if hasattr(self, "_sink"):
                    self._sink.check()
                raise
        except (OSError, RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise unwritable(self._path, error) from None


def write_audio(path: FilePath, pcm: Any, sample_rate: int, floats: bool = False) -> None:
    """Write a mono audio file in the format of its name, whole or not at all. An older file is replaced.

    A WAV file of 4 GiB or more becomes RF64, as WAV is called with longer sizes.

    Args:
        path: the file; its folder must exist.
        pcm: ``[samples]``, float32 or float64 in [−1, 1], or int16. Louder samples, up to ±128, are clipped at full
            scale, unless ``floats``.
        sample_rate: Hz.
        floats: write float32, unchanged, where the format has it, instead of 16 bits.

    Raises:
        InputError: bad samples; a format or rate as `check_target`; or no samples, which only WAV can hold.
        AudioFileError: the file cannot be written.
    """
    array = as_array(pcm, "samples")
    with AudioWriter(path, sample_rate, floats, array.size) as writer:
        writer.write(array)
