"""Every version of a clip as a file: 16-bit FLAC, as long as the original, at the level that it came out with.

Knows: what is measured of a version. Does not know: how it is coded (quality_measure/systems.py), HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrvq import Codec
from streamrvq.audio.loudness import Loudness
from streamrvq.audio.writing import write_audio

from ..quality_measure.clips import RATE, Samples
from ..quality_measure.systems import System, results
from .clips import Clip


@dataclass(frozen=True)
class Version:
    """One version of a clip.

    Attributes:
        system: what made it.
        file: its FLAC.
        kbps: kbit/s of what was coded; of the original those of its 16-bit samples.
        lufs: loudness by ITU-R BS.1770-4.
        limited: samples beyond full scale, which 16 bits cannot hold.
    """

    system: System
    file: Path
    kbps: float
    lufs: float
    limited: int


def write_versions(clip: Clip, stem: str, folder: Path, wanted: Sequence[System], codec: Codec) -> Iterator[Version]:
    """Write ``folder/stem-SYSTEM.flac`` for every wanted system, in their order."""
    for result in results(clip.pcm, wanted, codec):
        system = result.system
        file = folder / f"{stem}-{system.kind}{system.amount or ''}.flac"
        write_audio(file, result.pcm, RATE)
        kbps = float(result.bits) / clip.seconds / 1000
        yield Version(system, file, kbps, _loudness(result.pcm), _limited(result.pcm))


def _loudness(pcm: Samples) -> float:
    loudness = Loudness(RATE)
    loudness.push(pcm)
    return loudness.value()


def _limited(pcm: Samples) -> int:
    whole = np.rint(pcm * np.float32(32768))
    return int(np.count_nonzero((whole < -32768) | (whole > 32767)))
