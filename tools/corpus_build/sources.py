"""What a source of audio is, and which must never be trained on.

Knows: the value `Source`, and the sources that the releases are judged on. Does not know: where files lie, audio.
There are three splits: what is trained on, what a codec is measured on, and English to be recognised (``"words"``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from .errors import CorpusError
from .licences import check_free

KINDS = ("speech", "music", "sound")

#: Package → patterns of the files that are only ever judged on. Nothing here may be trained on, in any version of the
#: set: results would not compare any more.
KEPT_OUT: dict[str, tuple[str, ...]] = {
    "klettres-data": ("*/klettres/hu/*", "*/klettres/tn/*"),
    "tuxpaint-stamps-default": ("*_desc_da.ogg", "*_desc_lt.ogg"),
    "0ad-data": ("*/voice/latin/*",),
    "unknown-horizons": ("*",),
    "pushover-data": ("*",),
    "sonic-pi-samples": ("*",),
    "sound-theme-freedesktop": ("*",),
    "asterisk-core-sounds-en-g722": ("*",),
    "pocketsphinx-testdata": ("*",),
}


@dataclass(frozen=True)
class Source:
    """Files of one package (or folder) that sound alike, and how much of them is taken.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"words"``.
        kind: ``"speech"``, ``"music"`` or ``"sound"``.
        group: the name of what sounds alike: a voice, a soundtrack, a kit. Unique.
        package: the Debian package; ``"folder:NAME"`` for a user's own.
        licence: what the package states for these files; where its copyright file names one of them, that one holds.
        patterns: of paths in the package; ``*`` crosses slashes.
        without: patterns of those to leave out all the same.
        minutes: at most so many of the training split, before scaling.
        clips: so many of the validation split, or of the words.
        cut: pieces of so many seconds are taken out of long files, spread over all of them; None: files are taken
            whole, short ones put together in one clip.
        terms: the package whose copyright file speaks for this one, where it has none of its own.
        texts: what is said, by the name of the file without folder and ending, where the package has it in writing.
    """

    split: Literal["train", "validation", "words"]
    kind: str
    group: str
    package: str
    licence: str
    patterns: tuple[str, ...]
    without: tuple[str, ...] = ()
    minutes: float = math.inf
    clips: int = 0
    cut: float | None = None
    terms: str = ""
    texts: tuple[tuple[str, str], ...] = ()

    def wants(self, path: str) -> bool:
        """Is this file, by its path in the package, of this source?"""
        return _any(path, self.patterns) and not _any(path, self.without)


def is_kept_out(package: str, path: str) -> bool:
    """Is this file for validation only?"""
    return _any(path, KEPT_OUT.get(package, ()))


def check_file(source: Source, path: str) -> None:
    """Raises `CorpusError` if a file is of the wrong split: each source is on one side, file by file."""
    if is_kept_out(source.package, path) == (source.split == "train"):
        raise CorpusError(
            f"{source.package}: {path} was to go into the {source.split} split by the source {source.group!r}; wanted "
            "files kept out (KEPT_OUT in sources.py) in no training set, and only those judged on: correct the patterns"
        )


def check_sources(sources: Iterable[Source]) -> None:
    """Raises `CorpusError` for a group named twice, an unknown kind, or a licence that is not free."""
    seen: set[str] = set()
    for source in sources:
        if source.group in seen or source.kind not in KINDS:
            raise CorpusError(
                f"the source {source.group!r} of kind {source.kind!r} is named twice or of no known kind; wanted "
                f"names that differ and a kind of {', '.join(KINDS)}: rename it"
            )
        seen.add(source.group)
        check_free(source.licence, f"the source {source.group!r}")


def _any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
