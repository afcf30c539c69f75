"""The clips that are judged: the validation set, and English speech to be recognised.

Knows: sets that tools/corpus made, and which of their clips are used (the same ones in every run). Does not know:
codecs, metrics.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from streamrvq.audio.rates import samples_in

from ..corpus_build.build import build
from ..corpus_build.clips import fraction
from ..corpus_build.debian import packages_of
from ..corpus_build.debian_set import VALIDATION
from ..corpus_build.english import WORDS
from ..corpus_build.manifest import MANIFEST, TEXTS, Row, check_disjoint, read_manifest
from .errors import QualityError

RATE = 44100  #: Hz, of all clips and of everything that is scored

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One clip: where it is, and what is known about it.

    Attributes:
        name: its path in its set.
        split: ``"validation"`` or ``"words"``.
        kind: ``"speech"``, ``"music"`` or ``"sound"``.
        group: the name of clips that sound alike.
        file: its path.
        samples: how many are used, from its beginning.
        sha256: of those samples as float32.
        text: what is said, if its package contains the text.
    """

    name: str
    split: str
    kind: str
    group: str
    file: Path
    samples: int
    sha256: str
    text: str = ""

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    def read(self) -> Samples:
        """Its samples, float32 at 44.1 kHz."""
        return _read(self.file, self.samples)


def validation_clips(folder: Path, count: int | None = None, seconds: float | None = None) -> list[Clip]:
    """The validation clips. Raises `QualityError` if there are none, `CorpusError` if a file is in two splits."""
    rows = read_manifest(folder)
    check_disjoint(rows)
    # What was made by a synthesiser or put into rooms is left out: then figures stay comparable with older ones.
    rows = [row for row in rows if row["split"] == "validation" and row["origin"] == "recorded"]
    if not rows:
        raise QualityError(
            f"{folder} has no validation clips; wanted a set that tools/corpus made of Debian's packages"
        )
    return [_clip(folder, row, seconds, "") for row in chosen(rows, count)]


def word_clips(folder: Path, count: int | None = None) -> list[Clip]:
    """The clips of English speech, always whole."""
    rows = [row for row in read_manifest(folder) if row["split"] == "words"]
    if not rows:
        raise QualityError(f"{folder} has no words; wanted a set that tools/corpus --words made")
    texts: dict[str, str] = {}
    if (folder / TEXTS).is_file():
        with open(folder / TEXTS, newline="", encoding="utf-8") as file:
            texts = {row["path"]: row["text"] for row in csv.DictReader(file)}
    return [_clip(folder, row, None, texts.get(row["path"], "")) for row in chosen(rows, count)]


def chosen(rows: Sequence[Row], count: int | None) -> list[Row]:
    """At most ``count`` rows, in turn from each kind and, within it, from each group. Only their names decide which."""
    if count is None or count >= len(rows):
        return sorted(rows, key=lambda row: row["path"])
    kinds: dict[str, dict[str, list[Row]]] = {}
    for row in sorted(rows, key=lambda row: fraction(row["path"])):
        kinds.setdefault(row["kind"], {}).setdefault(row["group"], []).append(row)
    queues = [list(_in_turn(groups.values())) for _, groups in sorted(kinds.items())]
    return sorted(list(_in_turn(queues))[:count], key=lambda row: row["path"])


def _in_turn(queues: Iterable[Sequence[Row]]) -> Iterable[Row]:
    for turn in zip_longest(*queues):
        yield from (row for row in turn if row is not None)


def _clip(folder: Path, row: Row, seconds: float | None, text: str) -> Clip:
    file, samples = folder / row["path"], int(row["samples"])
    if seconds is not None:
        samples = min(samples, samples_in(seconds, RATE))
    digest = hashlib.sha256(_read(file, samples).tobytes()).hexdigest()
    return Clip(row["path"], row["split"], row["kind"], row["group"], file, samples, digest, text)


def _read(file: Path, samples: int) -> Samples:
    pcm, rate = soundfile.read(file, frames=samples, dtype="float32")
    if rate != RATE or pcm.ndim != 1 or len(pcm) != samples:
        raise QualityError(
            f"{file} has {len(pcm)} samples of shape {pcm.shape} at {rate} Hz; wanted {samples}, mono, at {RATE}: make "
            "the set again with tools/corpus"
        )
    return np.asarray(pcm, np.float32)


def find_validation(given: Path | None, cache: Path) -> Path:
    """The given folder (or that of the given manifest), or the set in the cache, or a validation set made there."""
    if given is not None:
        return given.parent if given.name == MANIFEST else given
    for folder in (cache / "set", cache / "validation"):
        if (folder / MANIFEST).is_file():
            return folder
    cache.mkdir(parents=True, exist_ok=True)
    build(cache / "validation", VALIDATION, packages_of(VALIDATION, cache))
    return cache / "validation"


def find_words(given: Path | None, cache: Path) -> Path:
    """The given folder, or the set in the cache, which is made if it is not there (12 MB to download)."""
    folder = given or cache / "words"
    if given is None and not (folder / MANIFEST).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        build(folder, WORDS, packages_of(WORDS, cache))
    return folder
