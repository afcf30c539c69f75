"""The clips of the page: those that are shipped, with what is known about them, or files that are named.

Knows: files, licences, what was kept out of training. Does not know: codecs, HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamrvq.audio.files import open_audio
from streamrvq.audio.rates import samples_in

from ..corpus_build.audio import resample
from ..quality_measure.clips import RATE, Samples
from ..quality_measure.errors import QualityError

ROOT = Path(__file__).resolve().parents[2]
_SHORTEST = 0.1  #: seconds


@dataclass(frozen=True)
class Shipped:
    """What is known about a clip of this repository.

    Attributes:
        path: below the repository's root.
        title: what is heard.
        source: where its sounds are from.
        licence: its name; the text beside the clip says more.
        package, part: the Debian package of its sounds, and which of its files. It is a pattern of the corpus's
            `KEPT_OUT`: no weights of this project are trained on them.
    """

    path: str
    title: str
    source: str
    licence: str
    package: str
    part: str


_PI = "sonic-pi-samples"
_SONIC_PI = "sound samples of Sonic Pi"
#: In the order of the page. Of tests/data/audio those whose samples are listed one by one as CC0.
SHIPPED = (
    Shipped("demos/audio/speech_hu.flac", "Speech: Hungarian syllables",
            "KLettres; Anne-Marie Mahfouf, Eric Bischoff, Mark Kretschmann, Michael Goettsche, Pino Toscano", "GPL-2+",
            "klettres-data", "*/klettres/hu/*"),
    Shipped("demos/audio/guitar_and_drums.flac", "Music: guitar, drums, choir, bass and bell",
            f"{_SONIC_PI} by Sub-d, gowers, Exsomniel, ani_music, AlaskaRobotics", "CC0-1.0",
            _PI, "*"),
    Shipped("tests/data/audio/guitar_01.ogg", "Music: guitar", f"{_SONIC_PI} by Sub-d, Suva, BStateham", "CC0-1.0",
            _PI, "*"),
    Shipped("tests/data/audio/tabla_01.ogg", "Music: tabla", f"{_SONIC_PI} by dio_333", "CC0-1.0",
            _PI, "*"),
    Shipped("tests/data/audio/ambience_01.ogg", "Sound: choir, drones and glass",
            f"{_SONIC_PI} by Exsomniel, EcoDTR, Autistic Lucario, kaligari, ani_music", "CC0-1.0",
            _PI, "*"),
)  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A clip as it is coded: mono float32 ``[samples]`` at 44.1 kHz. ``rate`` and ``channels`` are the file's."""

    path: Path
    pcm: Samples
    rate: int
    channels: int
    whole: bool
    shipped: Shipped | None

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE

    @property
    def kept_out(self) -> str:
        """What no weights of this project are trained on; empty for a file that is not shipped."""
        if self.shipped is None:
            return ""
        part = self.shipped.part.strip("*/")
        return f"{part} of {self.shipped.package}" if part else self.shipped.package

    @property
    def title(self) -> str:
        return self.shipped.title if self.shipped else self.path.name


def read_clip(path: Path, seconds: float, downmix: bool = False) -> Clip:
    """The first ``seconds`` of a file. Its level stays as it is.

    Raises:
        AudioFileError, InputError: as `open_audio`; several channels without ``downmix``.
        QualityError: it has no sound of 0.1 s.
    """
    with open_audio(path, downmix=downmix) as file:
        wanted = samples_in(seconds, file.sample_rate)
        pcm = file.read(wanted)
        whole = len(pcm) < wanted or not len(file.read(1))
        rate, channels = file.sample_rate, file.channels
    if len(pcm) < _SHORTEST * rate:
        raise QualityError(f"{path} has {len(pcm)} samples at {rate} Hz; wanted {_SHORTEST} s or more to listen to")
    return Clip(path, np.asarray(resample(pcm, rate, RATE), np.float32), rate, channels, whole, _known(path))


def paths_of(given: Sequence[Path]) -> list[Path]:
    """The files that are named, or all that are shipped."""
    return list(given) or [ROOT / shipped.path for shipped in SHIPPED]


def licences_of(clips: Sequence[Clip]) -> list[Path]:
    """The texts beside the shipped clips among these: who made them, and their licences."""
    folders = sorted({(ROOT / clip.shipped.path).parent for clip in clips if clip.shipped})
    return [text for folder in folders for text in sorted(folder.glob("*.txt"))]


def _known(path: Path) -> Shipped | None:
    return next((shipped for shipped in SHIPPED if (ROOT / shipped.path) == path.resolve()), None)
