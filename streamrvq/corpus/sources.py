"""The files of a corpus: files, folders, globs and manifests as one sorted list, each file once.

Knows: where names come from. Does not know: audio. A file that does not exist is listed, so that it is reported.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..audio.find import audio_in
from ..errors import InputError
from ..system.foreign_data import one_line
from .globs import globbed
from .manifests import MANIFESTS, is_path, read_manifest


class Source(NamedTuple):
    """One file of a corpus."""

    path: str  #: as it was given: below a folder, by a glob, in a manifest. Its rows carry this name
    file: str  #: the absolute path
    size: int  #: bytes; 0 if the file does not exist


def find_sources(entries: Sequence[str | os.PathLike[str]]) -> list[Source]:
    """The files of ``entries``, sorted by absolute path. A file of several names gets the alphabetically first.

    Args:
        entries: audio files; folders, for every audio file in them; globs (``**`` crosses folders); manifests
            (``.jsonl`` or ``.parquet``, see manifests.py).

    Raises:
        InputError: no entries; a name that no file can have; a folder or glob without files; or a manifest that cannot
            be used.
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
        if not is_path(entry):
            raise InputError(f"{one_line(ascii(entry), 80)} was given, and no file can be named so; correct it")
        path = Path(entry)
        if os.path.isdir(path):  # unlike Path's, it takes a name that is too long
            yield from (_Named(str(found), str(found)) for found in audio_in(path))
        elif path.suffix.lower() in MANIFESTS and os.path.isfile(path):
            for line in read_manifest(path):
                yield _Named(line, os.path.join(path.parent, line))
        elif glob.has_magic(entry) and not os.path.exists(path):
            yield from _walk(globbed(entry))
        else:
            yield _Named(entry, entry)


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0
