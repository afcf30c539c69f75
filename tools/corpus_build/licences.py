"""Licences: which are free enough to train on, and what a Debian copyright file says about one file.

Knows: Debian's machine-readable copyright format (DEP-5) and its short licence names. Does not know: packages, audio.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from .errors import CorpusError

# One licence, by Debian's short name or SPDX's. Non-commercial and no-derivatives licences never match.
_FREE = re.compile(
    r"(A?GPL|LGPL)(-\d(\.\d)?)?(\+|-only|-or-later)?( with composition exception)?|GFDL(-NIV)?-1\.[123](\+|-or-later)?"
    r"|CC0(-1\.0)?|CC-BY(-SA)?(-\d(\.\d)?)?(-[a-z]{2})?\+?|MIT(-Festival)?|Expat|ISC|zlib|BSD-[23]-clause|Apache-2\.0|public-domain|PD"
    # Debian's free software guidelines allow it: everything but selling the game by itself, like fonts under the OFL.
    r"|Drascula-License",
    re.IGNORECASE,
)
_JOINTS = re.compile(r",\s+(?:and|or)\s+|\s+(?:and|or)\s+|,\s+", re.IGNORECASE)
_ENDING = re.compile(r"\.(wav|flac|og[ga]|opus|mp3|aiff?|g722)$")  # a package may hold another format than its source
_FIELD = re.compile(r"^(Files|License):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


def check_free(licence: str, what: str) -> str:
    """Return the licence. Raises `CorpusError` unless each of its parts is known to be free."""
    if not all(_FREE.fullmatch(part) for part in _JOINTS.split(licence.strip())):
        raise CorpusError(
            f"{what} has the licence {licence!r}; wanted a free one, such as CC0-1.0, CC-BY-4.0, CC-BY-SA-4.0, MIT or "
            "GPL-2+ (nothing non-commercial, no-derivatives or unknown): leave it out"
        )
    return licence.strip()


class Copyright:
    """A package's copyright file. If it is not machine-readable, it says nothing about any file."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[str, str]] = []
        for paragraph in re.split(r"\n[ \t]*\n", text):
            fields = {match[1]: match[2] for match in _FIELD.finditer(paragraph)}
            if fields.keys() == {"Files", "License"}:
                licence = fields["License"].split("\n")[0].strip()
                self._rules += [(pattern.removeprefix("./"), licence) for pattern in fields["Files"].split()]

    @classmethod
    def read(cls, folder: Path) -> Copyright:
        """The first copyright file below a package's folder; an empty one if there is none."""
        found = min(folder.glob("usr/share/doc/*/copyright"), default=None)
        return cls("" if found is None else found.read_text(errors="replace"))

    def of(self, path: str) -> str | None:
        """The licence of a file, by its path in the package; None if the copyright file does not name it.

        Patterns are paths in the source package. They end like the installed paths but begin differently. So the rule
        that shares the most trailing parts with the path applies; among equal rules the last one, as the format says.
        The rule for everything (``*``) is ignored: music in a game is often not under the game's licence.
        """
        best, found = 0, None
        bare = "/" + _ENDING.sub("", path)
        for pattern, licence in self._rules:
            parts = _ENDING.sub("", pattern).split("/")
            for first in range(len(parts) - 1):
                if len(parts) - first >= max(best, 2) and fnmatchcase(bare, "*/" + "/".join(parts[first:])):
                    best, found = len(parts) - first, licence
                    break
        return found
