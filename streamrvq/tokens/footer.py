"""What a Parquet file's footer claims of its row groups, and its pages of themselves, read without pyarrow.

pyarrow can say the same, but its description of a column ends the process where a footer is damaged: an exception of
its C++ that nobody catches. These few numbers are needed before anything is read, and from files of anybody.

Knows: Thrift's compact protocol, and where Parquet's format (parquet.thrift) keeps these numbers. Does not know: what
they should be.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_MAGIC = b"PAR1"
#: Nesting that a footer may have; Parquet's own is 7.
_DEEPEST = 32

# Types of the compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
# Numbers of the fields that are needed: of the file, a row group, a column chunk and its metadata, and a page.
_ROW_GROUPS, _COLUMNS, _NUM_ROWS, _META_DATA, _PATH, _NUM_VALUES = 4, 1, 3, 3, 3, 5
_STORED, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
_NEEDED = {_ROW_GROUPS, _COLUMNS, _NUM_ROWS, _META_DATA, _PATH, _NUM_VALUES, _STORED, _DATA_PAGE, _DICTIONARY_PAGE}
_NEEDED |= {_UNPACKED_SIZE, _PACKED_SIZE}
#: Values in a footer, which take a microsecond each. A row group has some 400.
_MOST_VALUES = 1 << 21
#: Structs among them, which take 250 bytes each. A column of a row group has up to 7.
_MOST_STRUCTS = 1 << 19
#: Bytes of a page's head; with statistics it holds the least and the largest value.
_USUAL_HEAD, _LONGEST_HEAD = 1 << 10, 1 << 20
#: Bytes by which the pages of old writers go beyond what they state: those of a dictionary's head.
_BEYOND = 100
#: Pages of a column in a row group. Each has some 20 000 rows, or a megabyte.
_MOST_PAGES = 1 << 16


class RowGroup(NamedTuple):
    """What a row group claims of a column."""

    rows: int
    values: int  #: a list without elements counts as one value
    start: int  #: of its pages, in bytes from the file's start
    stored: int  #: bytes of its pages


def row_groups(path: Path, *columns: str) -> dict[str, list[RowGroup]]:
    """The row groups of a file, for each column whose name, or whose first part of it, was given.

    No two of them can share bytes, so the pages of all of them are read in a time that the file's size bounds.

    Raises:
        ValueError, LookupError, TypeError: the footer is damaged, or has not one such column; or the pages of these
            columns would take more bytes than the file has.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read()
        length = int.from_bytes(end[:4], "little")
        if end[4:] != _MAGIC or length > size - 12:
            raise ValueError("no footer of Parquet")
        file.seek(size - 8 - length)
        footer = _Compact(file.read(length)).struct(0)
    found: dict[str, list[RowGroup]] = {column: [] for column in columns}
    for group in footer[_ROW_GROUPS]:
        described: dict[bytes, list[dict[int, Any]]] = {}
        for one in group[_COLUMNS]:
            described.setdefault(one[_META_DATA][_PATH][0], []).append(one[_META_DATA])
        for column in columns:
            (chunk,) = described[column.encode()]
            starts = [at for name in (_DATA_PAGE, _DICTIONARY_PAGE) if (at := dict.get(chunk, name))]
            found[column].append(RowGroup(group[_NUM_ROWS], chunk[_NUM_VALUES], min(starts), chunk[_STORED]))
    if any(type(number) is not int or number < 0 for those in found.values() for group in those for number in group):
        raise ValueError("a row group without a number of rows, values or bytes")
    if (stored := sum(group.stored for those in found.values() for group in those)) > size:
        raise ValueError(f"row groups of {stored} bytes in a file of {size}")
    return found


def unpacked(path: Path, groups: Iterable[RowGroup]) -> list[int]:
    """The bytes that each page of some row groups of columns takes in memory, as the pages state it themselves.

    A page of a few KB may be unpacked to 2 GB, and readers unpack pages whole. Raises as `row_groups`.
    """
    with open(path, "rb") as file:
        return [size for group in groups for size in _unpacked(file, group)]


def _unpacked(file: BinaryIO, group: RowGroup) -> list[int]:
    sizes: list[int] = []
    at, end = group.start, group.start + group.stored
    while at < end:
        length, page = _page(file, at, end - at + _BEYOND)
        sizes.append(page[_UNPACKED_SIZE])
        at += length + page[_PACKED_SIZE]
        if min(page[_UNPACKED_SIZE], page[_PACKED_SIZE]) < 0 or len(sizes) > _MOST_PAGES:
            raise ValueError(f"page {len(sizes)}")
    return sizes


def _page(file: BinaryIO, at: int, most: int) -> tuple[int, dict[int, Any]]:
    """The length and the content of the head of a page, which takes at most so many bytes."""
    for length in (_USUAL_HEAD, _LONGEST_HEAD):
        file.seek(at)
        head = _Compact(file.read(min(length, most)))
        try:
            page = head.struct(0)
            return head.at, page
        except (ValueError, LookupError):  # it may go on
            if length == _LONGEST_HEAD:
                raise
    raise AssertionError


class _Compact:
    """Bytes of the compact protocol. A struct becomes a dict of its fields that are needed, by their numbers."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at, self._values, self._structs = data, 0, 0, 0  # `at`: bytes that are read

    def struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        self._structs += 1
        if self._structs > _MOST_STRUCTS:
            raise ValueError("too many structs")
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            if kind in (_TRUE, _FALSE):  # a field's type says which
                self._count(depth)
                value: Any = kind == _TRUE
            else:
                value = self._value(kind, depth)
            if number in _NEEDED:
                fields[number] = value
        return fields

    def _count(self, depth: int) -> None:
        self._values += 1
        if depth > _DEEPEST or self._values > _MOST_VALUES:
            raise ValueError("nested too deeply, or too many values")

    def _value(self, kind: int, depth: int) -> Any:
        self._count(depth)
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _MAP:
            return self._skip_map(depth)
        if kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
            return self._bytes(8 if kind == _DOUBLE else 1)
        raise ValueError(f"type {kind} is none")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._data) - self.at:  # each element takes a byte at least
            raise ValueError(f"{count} elements")
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _skip_map(self, depth: int) -> None:
        if not (count := self._varint()):
            return
        kinds = self._byte()
        if count > len(self._data) - self.at:
            raise ValueError(f"{count} entries")
        for _ in range(count):  # Parquet has no maps, so none is kept
            self._value(kinds >> 4, depth + 1)
            self._value(kinds & 15, depth + 1)

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, length: int) -> bytes:
        if length > len(self._data) - self.at:
            raise ValueError(f"{length} bytes")
        self.at += length
        return self._data[self.at - length : self.at]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("an integer of more than 10 bytes")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
