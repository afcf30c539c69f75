"""The rows of one source, held until the source has been read to its end: a damaged file must leave no rows.

Knows: how to keep a little in memory and the rest in a temporary file without a name, which no crash leaves behind.
Does not know: what is done with the rows.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .rows import Row

#: Bytes of codes that are kept in memory: most of an hour with 9 codebooks.
IN_MEMORY = 4 << 20


class _Held(NamedTuple):
    row: Row  #: without its codes
    levels: int
    frames: int


class HeldRows:
    """Rows in the order in which they came. A context manager.

    Args:
        folder: for the temporary file, if one is needed.
    """

    def __init__(self, folder: Path) -> None:
        # __exit__ closes it. Without a `with` block nothing is left behind either: the file has no name.
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115
        self._held: list[_Held] = []

    def add(self, row: Row) -> None:
        """Hold a row. Raises `OSError` if the disk is full."""
        self._file.write(row.codes.astype("<u2").tobytes())
        none = np.zeros((0, 0), np.uint16)  # a new array: a view would keep all of the codes in memory
        self._held.append(_Held(dataclasses.replace(row, codes=none), *row.codes.shape))

    def rows(self) -> Iterator[Row]:
        """All held rows, one at a time."""
        self._file.seek(0)
        for row, levels, frames in self._held:
            data = self._file.read(2 * levels * frames)
            yield dataclasses.replace(row, codes=np.frombuffer(data, "<u2").astype(np.uint16).reshape(levels, frames))

    def close(self) -> None:
        """Forget the rows. It may be closed more than once."""
        self._file.close()

    def __enter__(self) -> HeldRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
