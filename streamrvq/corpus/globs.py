"""Globs. ``**`` enters each real folder once, whatever links lead to it: links back or to the same place end there.

Knows: Python's patterns for one part of a path, and folders. Does not know: what files are wanted for.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..audio.find import PassedOver, walk
from ..errors import InputError
from ..system.foreign_data import foreign_data


def globbed(pattern: str, passed: list[PassedOver] | None = None) -> list[str]:
    """The paths that match a pattern, sorted. ``**`` stands for any number of folders, none of them hidden.

    Args:
        pattern: as Python's `glob` takes it.
        passed: gets the folders that cannot be read.

    Raises:
        InputError: there are none.
    """
    unread: list[PassedOver] = []
    with foreign_data(InputError, pattern, "name the folders that are wanted"):
        parts = Path(pattern).parts
        found = [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            found = list(dict.fromkeys(_below(found, last, unread) if part == "**" else _matches(found, part)))
        matches = sorted(path for path in found if path)
    if passed is not None:
        passed += unread
    if not matches:
        raise InputError(f"{pattern} matches no file; check the pattern, and that the shell leaves it alone")
    return matches


def _matches(folders: Iterable[str], part: str) -> Iterator[str]:
    for folder in folders:
        yield from glob.glob(os.path.join(glob.escape(folder), part))


def _below(folders: Iterable[str], files: bool, passed: list[PassedOver]) -> Iterator[str]:
    """The folders and those below them; with ``files`` what lies in them, too."""
    for here, names in walk(folders, passed, hidden=False):
        yield here
        if files:
            yield from (os.path.join(here, name) for name in names)
