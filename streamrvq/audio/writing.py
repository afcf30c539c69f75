"""Audio files in the format that their names ask for, written whole or not at all.

    .wav .flac .aiff .aif .au .caf .w64      every sample, rounded to 16 bits (or float32, where the format has it)
    .mp3 .ogg .oga .opus .m4a .mp4 .mka .webm      compressed with loss

Equal samples give equal files, whenever they are written; but each Ogg file has a random serial number, as its format
wants it.

Knows: which formats there are, their sample rates, and whether a file could be written at all. Does not know: codecs,
where samples come from. `files.write_wav` writes the WAV files.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from io import BytesIO
from typing import Any

import numpy as np
import soundfile

from ..errors import AudioFileError, InputError
from ..system.atomic_file import check_writable, replacing
from ..system.foreign_data import one_line, shown
from .files import Path, write_wav
from .pcm import Pcm, as_array, as_pcm, to_int16
from .peak_time import clear_peak_time
from .rates import HIGHEST_RATE, check_rate

#: Samples that an encoder is given at a time: libvorbis crashes on a long signal that comes at once.
_STEP = 1 << 16
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
    """

    name: str
    codec: str
    rates: tuple[int, ...] = ()
    floats: bool = False
    by: str = "soundfile"
    highest: int = HIGHEST_RATE

    def rate_for(self, rate: int) -> int:
        """The rate, Hz, at which a signal of ``rate`` is written if nobody asks for another: the next that there is."""
        if not self.rates or rate in self.rates:
            return min(rate, self.highest)
        return min([other for other in self.rates if other > rate] or [max(self.rates)])


FORMATS = {
    ".wav": AudioFormat("WAV", "PCM_16", floats=True),
    ".flac": AudioFormat("FLAC", "PCM_16", highest=_FLAC_HIGHEST),
    ".ogg": AudioFormat("OGG", "VORBIS", highest=_VORBIS_HIGHEST),
    ".oga": AudioFormat("OGG", "VORBIS", highest=_VORBIS_HIGHEST),
    ".opus": AudioFormat("OGG", "OPUS", _OPUS),
    ".mp3": AudioFormat("MP3", "MPEG_LAYER_III", _MPEG),
    ".m4a": AudioFormat("ipod", "aac", _AAC, by="av"),
    ".mp4": AudioFormat("mp4", "aac", _AAC, by="av"),
    ".mka": AudioFormat("matroska", "libopus", _OPUS, by="av"),
    ".webm": AudioFormat("webm", "libopus", _OPUS, by="av"),
    ".aiff": AudioFormat("AIFF", "PCM_16", floats=True),
    ".aif": AudioFormat("AIFF", "PCM_16", floats=True),
    ".au": AudioFormat("AU", "PCM_16", floats=True),
    ".caf": AudioFormat("CAF", "PCM_16", floats=True),
    ".w64": AudioFormat("W64", "PCM_16", floats=True),
}


def format_of(path: Path) -> AudioFormat:
    """The format that a file's name asks for.

    Raises:
        InputError: its suffix is none of `FORMATS`. The message lists them.
    """
    suffix = pathlib.Path(path).suffix
    found = FORMATS.get(suffix.lower())
    if found is None:
        what = f"ends in {shown(suffix)}, a format that is not written" if suffix else "has no suffix"
        raise InputError(f"{os.fspath(path)} {what}; wanted a name that ends in one of {' '.join(FORMATS)}")
    return found


def check_target(path: Path, rate: int, floats: bool = False) -> None:
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
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def write_audio(path: Path, pcm: Any, sample_rate: int, floats: bool = False) -> None:
    """Write a mono audio file in the format of its name, whole or not at all. An older file is replaced.

    Args:
        path: the file; its folder must exist.
        pcm: ``[samples]``, float32 or float64 in [−1, 1], or int16. Louder samples are clipped at full scale.
        sample_rate: Hz.
        floats: write float32, unchanged, where the format has it, instead of 16 bits.

    Raises:
        InputError: bad samples; a format or rate as `check_target`; or no samples, which only WAV can hold.
        AudioFileError: the file cannot be written.
    """
    rate = check_rate(sample_rate)
    check_target(path, rate, floats)
    wanted = format_of(path)
    if wanted.name == "WAV":
        write_wav(path, pcm, rate, subtype="FLOAT" if floats else "PCM_16")
        return
    array = as_array(pcm, "samples")
    samples = as_pcm(array.astype(np.float32) if array.dtype == np.float64 else array)
    if not len(samples):
        raise InputError(f"there is no sample to be written to {os.fspath(path)}; an empty file has to be a .wav")
    try:
        # Into memory first: the libraries do not say when a disk was full.
        data = _encoded(samples, rate, wanted, floats)
        with replacing(pathlib.Path(path)) as part:
            part.write(data.getbuffer())
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: Exception) -> AudioFileError:
    reason = getattr(error, "strerror", None) or one_line(error)
    named = getattr(error, "filename", None)
    place = "" if named is None or os.fspath(named) == os.fspath(path) else f": {os.fspath(named)}"
    return AudioFileError(f"cannot write {os.fspath(path)} ({reason}{place}); check its name, its folder and the disk")


def _encoded(samples: Pcm, rate: int, wanted: AudioFormat, floats: bool) -> BytesIO:
    """The bytes of a file with float32 samples ``[n]``. Raises what the libraries raise."""
    data = BytesIO()
    if wanted.by == "av":
        _encode_by_av(data, np.clip(samples, -1, 1), rate, wanted)
        return data
    values: Any = samples if floats else to_int16(samples) if wanted.codec == "PCM_16" else np.clip(samples, -1, 1)
    subtype = "FLOAT" if floats else wanted.codec
    with soundfile.SoundFile(data, "w", rate, 1, subtype=subtype, format=wanted.name) as file:
        for at in range(0, len(values), _STEP):
            file.write(values[at : at + _STEP])
    if floats and wanted.name == "AIFF":
        clear_peak_time(data)
    return data


def _encode_by_av(data: BytesIO, samples: Pcm, rate: int, wanted: AudioFormat) -> None:
    import av

    # "bitexact" leaves out random identifiers and the library's version: equal samples are equal files.
    with av.open(data, "w", format=wanted.name, options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(wanted.codec, rate=rate, layout="mono")
        for at in range(0, len(samples), _STEP):
            frame = av.AudioFrame.from_ndarray(samples[None, at : at + _STEP], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
