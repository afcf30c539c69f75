"""Globs. ``**`` follows links, and Python's glob does not notice links that lead back, or that multiply paths.

Two links to ``.`` in one folder have 2^40 paths below it. So the folders are counted first, each looked at once.

Knows: Python's patterns, and folders. Does not know: what files are wanted for.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..system.foreign_data import foreign_data

#: Paths of folders below a ``**``; a corpus of a hundred million files has fewer.
_MOST_FOLDERS = 1 << 20


def globbed(pattern: str) -> list[str]:
    """The paths that match a pattern, sorted.

    Raises:
        InputError: there are none; or a ``**`` would go in circles.
    """
    remedy = "name the folders that are wanted"
    with foreign_data(InputError, pattern, remedy):
        for folder in _roots(pattern):
            if (count := _folders(folder, {}, ())) > _MOST_FOLDERS:
                raise InputError(f"{folder} has {count} folders, by links to some of them; {remedy}")
        matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise InputError(f"{pattern} matches no file; check the pattern, and that the shell leaves it alone")
    return matches


def _roots(pattern: str) -> Iterable[str]:
    """The folders below which the first ``**`` looks."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return []
    above = os.path.join(*parts[: parts.index("**")], "") if parts[0] != "**" else "./"
    return glob.glob(above)


def _folders(folder: str, known: dict[tuple[int, int], int], above: tuple[tuple[int, int], ...]) -> int:
    """How many folders a ``**`` visits from this one on; hidden ones and those that cannot be read are passed over."""
    with suppress(OSError):
        at = os.stat(folder)
        key = at.st_dev, at.st_ino
        if key in above:
            raise InputError(f"{folder} leads back to a folder above it, so ** has no end there; remove that link")
        if key not in known:
            count = 1
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_dir():
                        count += _folders(entry.path, known, (*above, key))
            known[key] = count
        return known[key]
    return 0
