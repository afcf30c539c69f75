"""Reads audio files as clips need them (mono, 44.1 kHz), writes clips as int16, and describes them.

The same input gives the same bytes in every run.

Knows: soundfile, soxr, and ffmpeg for G.722, which soundfile cannot read. Does not know: sources, splits, folders.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from .errors import CorpusError

RATE = 44100
NATIVE_RATES = (16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)
_PEAK, _QUIET_DB, _SHORTEST, _FADE = 0.99, -55.0, 2000, 220
_FFT = 2048
_G722_RATE, _G722_BYTES = 16000, 8000  # samples of sound, and bytes of file, in a second

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Info:
    """A file's length in seconds and its rate in Hz."""

    seconds: float
    rate: int


def probe(path: Path, lowest: int = 44100) -> Info | None:
    """The length and rate of a file. None if it is not audio, below ``lowest`` Hz, of an odd rate, or under 80 ms."""
    if path.suffix == ".g722":
        seconds = path.stat().st_size / _G722_BYTES
        return Info(seconds, _G722_RATE) if lowest <= _G722_RATE and seconds >= 0.08 else None
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError):
        return None
    if info.samplerate < lowest or info.samplerate not in NATIVE_RATES or info.frames < 0.08 * info.samplerate:
        return None
    return Info(info.frames / info.samplerate, info.samplerate)


def bandwidth(rate: int) -> str:
    """``wide`` for a file of 32 kHz or more, ``mid`` from 22 kHz on, else ``narrow``."""
    return "wide" if rate >= 32000 else "mid" if rate >= 22000 else "narrow"


def read(path: Path, start: float = 0.0, seconds: float | None = None) -> Samples | None:
    """Mono float32 at 44.1 kHz, with peaks of at most 0.99. None if damaged, almost silent or very short."""
    if path.suffix == ".g722":
        return _read_g722(path)
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(int(start * file.samplerate))
            count = -1 if seconds is None else int(seconds * file.samplerate)
            pcm = _mono(file.read(count, dtype="float32", always_2d=True))
            rate = file.samplerate
    except (soundfile.SoundFileError, RuntimeError):
        return None
    return _clip_samples(pcm, rate)


def _mono(pcm: Samples) -> Samples:
    if pcm.shape[1] == 2:  # the same bits as the mean has, in a fifth of its time
        return np.asarray((pcm[:, 0] + pcm[:, 1]) / np.float32(2), np.float32)
    return np.asarray(pcm.mean(axis=1, dtype=np.float32), np.float32)


def _read_g722(path: Path) -> Samples | None:
    """A whole G.722 file of 64 kbit/s."""
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-"]
    try:
        pcm = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")
    except FileNotFoundError:
        raise CorpusError(f"{path.name} is G.722 and ffmpeg is not here; wanted the Debian package ffmpeg") from None
    except subprocess.CalledProcessError:
        return None
    return _clip_samples(np.asarray(pcm / np.float32(32768), np.float32), _G722_RATE)


def _clip_samples(pcm: Samples, rate: int) -> Samples | None:
    if len(pcm) < _SHORTEST or not np.isfinite(pcm).all():
        return None
    pcm = resample(pcm, rate, RATE)
    if 20 * np.log10(np.sqrt(np.mean(np.square(pcm, dtype=np.float64))) + 1e-9) < _QUIET_DB:
        return None
    peak = float(np.abs(pcm).max())
    return pcm if peak <= _PEAK else pcm * np.float32(_PEAK / peak)


def resample(pcm: Samples, rate: int, to: int, quality: str = "VHQ") -> Samples:
    """Resample with soxr, as a rule at its best quality. Equal rates return the samples unchanged."""
    return pcm if rate == to else np.asarray(soxr.resample(pcm, rate, to, quality=quality), np.float32)


def faded(pcm: Samples) -> Samples:
    """The samples with the last 5 ms faded out, so that cuts and joins do not click."""
    ramp = np.ones(len(pcm), np.float32)
    ramp[-_FADE:] = np.linspace(1, 0, _FADE, dtype=np.float32)
    return pcm * ramp


def write_flac(path: Path, pcm: Samples) -> None:
    """Write 16-bit FLAC, rounded to 1 / 32768: the inverse of reading."""
    whole = np.clip(np.rint(pcm * np.float32(32768)), -32768, 32767).astype(np.int16)
    soundfile.write(path, whole, RATE, format="FLAC", subtype="PCM_16")


def describe(pcm: Samples) -> dict[str, Any]:
    """``bandwidth_khz``: the highest frequency within 75 dB of the peak; ``above_8khz_db``: the share above 8 kHz."""
    padded = np.pad(pcm, (0, max(0, _FFT - len(pcm))))
    frames = padded[: len(padded) // _FFT * _FFT].reshape(-1, _FFT) * np.hanning(_FFT)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0) + 1e-20
    frequencies = np.fft.rfftfreq(_FFT, 1 / RATE)
    loud = 10 * np.log10(power / power.max()) > -75
    return {
        "bandwidth_khz": f"{frequencies[loud].max() / 1000:.1f}",
        "above_8khz_db": f"{10 * np.log10(power[frequencies > 8000].sum() / power.sum()):.1f}",
    }
