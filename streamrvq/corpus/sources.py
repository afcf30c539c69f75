"""What a corpus is made of: files, folders, globs and manifests, as one sorted list in which no file is twice.

Knows: where names come from. Does not know: audio; a file that is not there is listed, so that it is reported.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..audio.find import audio_in
from ..errors import InputError
from .manifests import MANIFESTS, read_manifest


class Source(NamedTuple):
    """One file of a corpus."""

    path: str  #: as it was named: below a folder, by a glob, in a manifest. What its rows are called
    file: str  #: absolute
    size: int  #: bytes; 0 where it is not there


def find_sources(entries: Sequence[str | os.PathLike[str]]) -> list[Source]:
    """The files of ``entries``, sorted by where they lie; of several names for one file the first in the alphabet.

    Args:
        entries: audio files; folders, of which every audio file is taken; globs (``**`` crosses folders); manifests
            (``.jsonl`` or ``.parquet``, see manifests.py).

    Raises:
        InputError: no entry; a folder or glob without files; a manifest that cannot be used.
    """
    named: dict[str, str] = {}
    for path in _walk(os.fspath(entry) for entry in entries):
        file = os.path.abspath(path.file)
        named[file] = min(named.get(file, path.name), path.name)
    if not named:
        raise InputError("no sources were given; wanted audio files, folders, globs or manifests of them")
    return [Source(named[file], file, _size(file)) for file in sorted(named)]


class _Named(NamedTuple):
    name: str
    file: str


def _walk(entries: Iterable[str]) -> Iterator[_Named]:
    for entry in entries:
        path = Path(entry)
        if path.is_dir():
            yield from (_Named(str(found), str(found)) for found in audio_in(path))
        elif path.suffix.lower() in MANIFESTS and path.is_file():
            for line in read_manifest(path):
                yield _Named(line, os.path.join(path.parent, line))
        elif glob.has_magic(entry) and not path.exists():
            matches = glob.glob(entry, recursive=True)
            if not matches:
                raise InputError(f"{entry} matches no file; check the pattern, and that the shell leaves it alone")
            yield from _walk(sorted(matches))
        else:
            yield _Named(entry, entry)


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0
