"""Rows of a source that wait for its end, since a file that turns out to be damaged has none.

Knows: how to keep a little in memory and the rest in a nameless file, which no crash leaves behind. Does not know: what
becomes of the rows.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .encode import Row

#: Bytes of codes that are kept in memory, most of an hour of 9 codebooks.
IN_MEMORY = 4 << 20


class _Kept(NamedTuple):
    row: Row  #: without its codes
    levels: int
    frames: int


class Spool:
    """Rows in the order they came. A context manager.

    Args:
        folder: where the nameless file lies, if one is needed.
    """

    def __init__(self, folder: Path) -> None:
        # Closed in __exit__; one that no block surrounds has no name to leave behind.
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self._kept: list[_Kept] = []

    def add(self, row: Row) -> None:
        """ResendBuffer a row. Raises `OSError`: the disk is full."""
        self._file.write(row.codes.astype("<u2").tobytes())
        none = np.zeros((0, 0), np.uint16)  # of its own: a view would keep all of the codes
        self._kept.append(_Kept(dataclasses.replace(row, codes=none), *row.codes.shape))

    def rows(self) -> Iterator[Row]:
        """All of them, one at a time."""
        self._file.seek(0)
        for row, levels, frames in self._kept:
            data = self._file.read(2 * levels * frames)
            yield dataclasses.replace(row, codes=np.frombuffer(data, "<u2").astype(np.uint16).reshape(levels, frames))

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
