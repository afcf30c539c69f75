"""What a source of audio is, and which files must never be used for training.

There are three splits: what is trained on, what a codec is measured on, and English to be recognised (``"words"``).

Knows: the value `Source`, and the files that releases are judged on. Does not know: where files are, audio.
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
#: Where a clip's sound is from: a recording (or a musician's own mix), notes and sampled instruments, a speech
#: synthesiser; or either of these in a simulated room.
ORIGINS = ("recorded", "rendered", "synthetic", "in rooms")

#: Package → patterns of the files that are used for judging only. No version of the set may train on them: results
#: could not be compared any more.
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
    # Of what is judged on these are other recordings, perhaps by the same people.
    "ktuberling-data": ("*/sounds/da/*", "*/sounds/lt/*"),
    # Made here; see speech.py.
    "kokoro-held": ("*",),
}


@dataclass(frozen=True)
class Source:
    """Files of one package (or folder) that sound alike, and how much of them is used.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"words"``.
        kind: ``"speech"``, ``"music"`` or ``"sound"``.
        group: the unique name of these files: a voice, a soundtrack, a drum kit.
        package: the Debian package, or ``"folder:NAME"`` for a user's own files.
        licence: the package's licence for these files. If its copyright file names a file, that licence applies.
        patterns: of paths in the package; ``*`` crosses slashes.
        without: patterns of files to leave out although ``patterns`` match them.
        minutes: the most for the training split, before scaling; infinite: all there is.
        clips: how many, for the validation split or the words.
        cut: seconds of the pieces that are cut from long files, spread over all of them. None: files are used whole,
            and short ones are joined into one clip.
        terms: the package whose copyright file applies to this one, if it has none of its own.
        texts: what is said, by file name without folder and suffix, if the package contains the text.
        whole: with ``cut``: pieces follow one another from beginning to end, a first one of each file, then a second
            one. Otherwise few pieces are spread over each file.
        lowest: Hz; files at lower rates are not used.
        narrow: the files have nothing above 8 kHz although their rate would allow it.
        origin: one of `ORIGINS`. The files of ``"in rooms"`` may be those of another source.
        weight: how often a second of it is drawn in training, beside 1 for a second of others.
        speakers: how many people or voices speak, if that is known.
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
    whole: bool = False
    lowest: int = 44100
    narrow: bool = False
    origin: str = "recorded"
    weight: float = 1.0
    speakers: int = 0

    def wants(self, path: str) -> bool:
        """Whether a file, given by its path in the package, belongs to this source."""
        return _any(path, self.patterns) and not _any(path, self.without)


def is_kept_out(package: str, path: str) -> bool:
    """Whether a file is for judging only."""
    return _any(path, KEPT_OUT.get(package, ()))


def check_file(source: Source, path: str) -> None:
    """Raise `CorpusError` if a file is in the wrong split."""
    if is_kept_out(source.package, path) == (source.split == "train"):
        raise CorpusError(
            f"{source.package}: {path} was to go into the {source.split} split by the source {source.group!r}; wanted "
            "files kept out (KEPT_OUT in sources.py) in no training set, and only those judged on: correct the patterns"
        )


def check_sources(sources: Iterable[Source]) -> None:
    """Raise `CorpusError` for a group that is named twice, an unknown kind, or a licence that is not free."""
    seen: set[str] = set()
    for source in sources:
        if source.group in seen or source.kind not in KINDS or source.origin not in ORIGINS:
            raise CorpusError(
                f"the source {source.group!r} of kind {source.kind!r} is named twice or of no known kind; wanted "
                f"names that differ and a kind of {', '.join(KINDS)}: rename it"
            )
        seen.add(source.group)
        check_free(source.licence, f"the source {source.group!r}")


def _any(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
