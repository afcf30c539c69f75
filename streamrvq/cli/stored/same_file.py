"""Which names mean one file: on macOS as it comes, also names that differ in case only.

Knows: how a file system compares names. Does not know: what lies there.
"""

from __future__ import annotations

import functools
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path


def keys_of(paths: Sequence[Path]) -> list[Path]:
    """A key for each path: two are equal if the file system takes the paths for one. No file need be there.

    Links are not followed.
    """
    whole = [Path(os.path.abspath(path)) for path in paths]
    alike = defaultdict[str, set[Path]](set)
    for path in whole:
        alike[_folded(str(path))].add(path)
    blind = functools.cache(_is_blind_to_case)
    # Folders are read only where it matters.
    return [_key(path, blind) if len(alike[_folded(str(path))]) > 1 else path for path in whole]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _key(path: Path, blind: Callable[[Path], bool | None]) -> Path:
    """``path`` with each part folded whose folder does not tell case apart; a folder that is not there is as its own
    will be."""
    key, folds = Path(path.anchor), False
    for folder, name in zip(reversed(path.parents), path.parts[1:], strict=True):
        known = blind(folder)
        folds = folds if known is None else known
        key /= _folded(name) if folds else name
    return key


def _is_blind_to_case(folder: Path) -> bool | None:
    """Whether a folder takes names that differ in case for one; None: nothing in it shows that."""
    try:
        names = set(os.listdir(folder))
    except (OSError, ValueError):
        return None
    for name in names:
        other = name.swapcase()
        if name.isascii() and other not in names:  # also if it has no letters
            return os.path.lexists(folder / other)
    return None
