"""Names on the Hub: ``owner/name`` and ``owner/name@revision``, told apart from paths and URLs.

A name may come from anywhere, and becomes part of a URL and of a path in the cache. So its characters, its length and
its dots are checked here, before anything is asked or opened.

Knows: the spelling. Does not know: which names there are; huggingface_hub.
"""

from __future__ import annotations

import dataclasses
import os
import re

from ...errors import HubError
from ...system.foreign_data import shown

#: Short names of released models.
RELEASED = {f"dac-{rate}khz": f"descript/dac_{rate}khz" for rate in (44, 24, 16)}
_MOST_NAME, _MOST_REVISION = 96, 200  #: characters; the Hub's own limit for names
#: What looks like a name, right or wrong: two parts of a name's characters, and perhaps a revision.
_SHAPE = re.compile(r"([\w.-]+/[\w.-]+)(?:@(.*))?", re.DOTALL)
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_REVISION_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+-]*[A-Za-z0-9_+-])?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: Endings of files of weights: such a name is a path, also where no file is.
_OF_FILES = (".safetensors", ".pth", ".pt")
#: A commit's name in full; it can mean nothing else, now or later.
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class HubName:
    """A model on the Hub.

    Attributes:
        repo: ``"owner/name"``.
        revision: a branch, a tag or a commit; None: ``main``.
        short: its short name in `RELEASED`, if it was given; ``""``: it was not.
    """

    repo: str
    revision: str | None = None
    short: str = ""

    @property
    def spelled(self) -> str:
        """What was given, without the revision."""
        return self.short or self.repo

    def __str__(self) -> str:
        return self.spelled if self.revision is None else f"{self.spelled}@{self.revision}"


def parsed(text: str) -> HubName:
    """The name that ``text`` spells.

    Raises:
        HubError: it spells none. The message says what a name looks like.
    """
    short, at, rest = text.partition("@")
    if short in RELEASED and (not at or _is_revision(rest)):
        return HubName(RELEASED[short], rest or None, short)
    wanted = "wanted owner/name or owner/name@revision, such as descript/dac_44khz"
    found = _SHAPE.fullmatch(text)
    if found is None:
        what = "is a URL" if _URL.match(text) else "is no name on the Hugging Face Hub"
        raise HubError(f"{shown(text)} {what}; {wanted}")
    repo, revision = found[1], found[2]
    parts = repo.split("/")
    if len(repo) > _MOST_NAME or not all(map(_PART.fullmatch, parts)) or "--" in repo or ".." in repo:
        raise HubError(
            f"{shown(text)} is no name on the Hugging Face Hub; {wanted}: at most {_MOST_NAME} letters, digits and "
            "-, _ or . between them, never two dots or dashes in a row"
        )
    if revision is not None and not _is_revision(revision):
        raise HubError(
            f"{shown(text)} has no revision after its @; wanted a branch, a tag or a commit of at most "
            f"{_MOST_REVISION} letters, digits and -, _, +, . or /: leave it out for the newest of main"
        )
    return HubName(repo, revision)


def _is_revision(text: str) -> bool:
    return len(text) <= _MOST_REVISION and ".." not in text and all(map(_REVISION_PART.fullmatch, text.split("/")))


def name_of(source: str | os.PathLike[str]) -> HubName | None:
    """The name that a codec's source spells; None for a path.

    What lies at a path wins over a name, save for `RELEASED`. So does whatever could only be a path: an object of
    `pathlib`, and the name of a file of weights. ``name@main`` is a Hub name even if a folder ``name`` exists.

    Raises:
        HubError: a URL, or a name with an @ that is none.
    """
    if not isinstance(source, str) or source.lower().endswith(_OF_FILES):
        return None
    if os.path.lexists(source) and source not in RELEASED:
        return None
    try:
        return parsed(source)
    except HubError:
        if _URL.match(source) or (_SHAPE.fullmatch(source) and "@" in source):
            raise
        return None  # as a path that is not there, which is said with all that it could have been
