"""Opus, the codec to compare with: ffmpeg's libopus for audio, at its defaults (variable rate, complexity 10).

Its output is aligned with the input: the encoder states its delay as pre-skip, which the decoder removes, and soxr
resamples without delay.

Knows: ffmpeg's command line, Ogg pages. Does not know: metrics, clips.
"""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import soxr

from .clips import RATE, Samples
from .errors import QualityError

_RATE = 48000
_RAW = ["-f", "f32le", "-ar", str(_RATE), "-ac", "1"]


def encoder() -> str:
    """The name and version of the encoder. Raises `QualityError` if there is none."""
    if shutil.which("ffmpeg") is None:
        raise QualityError("ffmpeg is not here; wanted it for Opus: install it (Debian: ffmpeg), or pass --opus none")
    if b" libopus " not in _ffmpeg(["-encoders"]):
        raise QualityError("this ffmpeg has no libopus; wanted one as Debian builds it, or pass --opus none")
    return f"libopus of ffmpeg {_ffmpeg(['-version']).split()[2].decode()}"


def through_opus(pcm: Samples, kbps: int) -> tuple[Samples, int]:
    """Encode and decode ``[samples]`` at 44.1 kHz. Returns as many samples, aligned, and the bits that Opus used."""
    wide = np.asarray(soxr.resample(pcm, RATE, _RATE, quality="VHQ"), "<f4")
    coding = ["-c:a", "libopus", "-b:a", f"{kbps}k", "-application", "audio"]
    ogg = _ffmpeg([*_RAW, "-i", "-", *coding, "-f", "ogg", "-"], wide.tobytes())
    back = np.frombuffer(_ffmpeg(["-c:a", "libopus", "-i", "-", *_RAW, "-"], ogg), "<f4")
    if abs(len(back) - len(wide)) > 1:
        raise QualityError(f"Opus gave {len(back)} samples for {len(wide)}; wanted as many: is this ffmpeg whole?")
    out = np.asarray(soxr.resample(back, _RATE, RATE, quality="VHQ"), np.float32)
    return np.pad(out, (0, max(0, len(pcm) - len(out))))[: len(pcm)], 8 * payload(ogg)


def payload(ogg: bytes) -> int:
    """Bytes of the audio packets in an Ogg file of one stream, without headers and page overhead."""
    total = start = 0
    while start < len(ogg):
        segments = ogg[start + 26]
        body = sum(ogg[start + 27 : start + 27 + segments])
        if int.from_bytes(ogg[start + 6 : start + 14], "little"):  # pages with headers have position 0
            total += body
        start += 27 + segments + body
    return total


def _ffmpeg(arguments: list[str], data: bytes = b"") -> bytes:
    done = subprocess.run(["ffmpeg", "-v", "error", *arguments], input=data, capture_output=True)
    if done.returncode:
        raise QualityError(f"ffmpeg {' '.join(arguments)} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
