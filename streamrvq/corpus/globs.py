"""Globs. ``**`` enters each real folder once, whatever links lead to it: links back or to the same place end there.

Knows: Python's patterns for one part of a path, and folders. Does not know: what files are wanted for.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..audio.find import Passed
from ..errors import InputError
from ..system.foreign_data import foreign_data, one_line


def globbed(pattern: str, passed: list[Passed] | None = None) -> list[str]:
    """The paths that match a pattern, sorted. ``**`` stands for any number of folders, none of them hidden.

    Args:
        pattern: as Python's `glob` takes it.
        passed: gets the folders that cannot be read.

    Raises:
        InputError: there are none.
    """
    unread: list[Passed] = []
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


def _below(folders: Iterable[str], files: bool, unread: list[Passed]) -> Iterator[str]:
    """The folders and those below them, each real one once: a folder's own come before those that links lead to.

    Args:
        folders: where to begin. What is no folder is passed over.
        files: whether files are wanted, too.
        unread: gets the folders that cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    waiting, links = list(folders), list[str]()
    waiting.reverse()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        try:
            status = os.stat(here or ".")
            identity = status.st_dev, status.st_ino
            if identity in seen:
                continue
            with os.scandir(here or ".") as entries:
                inside = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except NotADirectoryError:
            continue
        except OSError as error:
            unread.append(Passed(Path(here), f"a folder that cannot be read ({one_line(error.strerror or error)})"))
            continue
        seen.add(identity)
        yield here
        for entry in inside:
            path = os.path.join(here, entry.name)
            if entry.name.startswith("."):
                continue
            if not os.path.isdir(path):  # the entry's own method raises for a link to itself
                if files:
                    yield path
            elif entry.is_symlink():
                links.append(path)
            else:
                waiting.append(path)
