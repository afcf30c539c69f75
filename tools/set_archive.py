"""A tar of a set: how large it will be, and the same bytes for the same members.

Knows: tar's blocks, and the bytes of a row of a table. Does not know: clips, or which of them are taken.
"""

from __future__ import annotations

import contextlib
import csv
import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO


class Room:
    """The room in a tar of at most ``limit`` bytes, one of whose members is a table with these columns."""

    def __init__(self, limit: float, columns: Sequence[str]) -> None:
        self._limit, self._columns = limit, columns
        self._members = 0
        self._table = self._line(dict(zip(columns, columns, strict=True)))

    def take(self, sizes: Iterable[int], row: Mapping[str, str] | None = None) -> bool:
        """Take members of these sizes, and a row of the table. If there is no room for all of it, nothing is taken."""
        members = self._members + sum(map(_padded, sizes))
        table = self._table + (self._line(row) if row is not None else 0)
        end = 2 * tarfile.BLOCKSIZE
        whole = _up_to(members + _padded(table) + end, tarfile.RECORDSIZE)
        if whole > self._limit:
            return False
        self._members, self._table = members, table
        return True

    def _line(self, row: Mapping[str, str]) -> int:
        line = io.StringIO(newline="")
        csv.DictWriter(line, self._columns, lineterminator="\n").writerow(row)
        return len(line.getvalue().encode())


def write(target: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write a tar of files, or of what they hold, under these names. It has no owners and no times."""
    part = target.with_name(target.name + ".part")
    try:
        with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
                with _opened(content) as file:
                    tar.addfile(info, file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _opened(content: bytes | Path) -> contextlib.AbstractContextManager[BinaryIO]:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _padded(size: int) -> int:
    """The bytes of a member with its header."""
    return tarfile.BLOCKSIZE + _up_to(size, tarfile.BLOCKSIZE)


def _up_to(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
