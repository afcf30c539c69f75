"""Rows of manifests: JSON lines, tables with commas or tabs, Parquet. They come one at a time, and each is bounded, so
that a small file cannot ask for much memory.

A table's first line names the columns, and its values are text as written; nothing between commas or tabs is no value.
Commas and line ends may stand between double quotes. Between tabs quotes are characters like others, as in most files
of transcripts. Of Parquet only columns of text, numbers and booleans are read.

Knows: these formats. Does not know: which columns are wanted for what, whether files exist.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system.foreign_data import one_line
from ..tokens.footer import row_groups, unpacked
from ..tokens.schema import arrow, parquet

#: Characters of a line of JSON or of a table. A line of texts and figures about a file takes a thousandth.
MAX_LINE = 4 << 20
#: Rows of a Parquet manifest for each of its bytes. Paths in order, well compressed, take a third of a byte.
ROWS_PER_BYTE = 8
#: Types of text, as Arrow names them.
_TEXTS = ("string", "large_string", "string_view")
#: Rows that are read at a time.
_ROWS = 1024
#: Bytes of a page of a Parquet manifest when it is unpacked. Writers end one at a megabyte, or 1024 rows later.
_LARGEST_PAGE = 64 << 20

Row = dict[str, Any]


class _Object(dict[str, Any]):
    """A JSON object, which knows if it has a name twice: Python would keep the last value, and lose a file so."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice: str | None = None
        if len(self) < len(pairs):
            self.twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)


class NotCarried:
    """In place of a value that no column of a shard can hold.

    Args:
        kind: what it is, such as ``a list``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind


def rows_of(manifest: Path, paths: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a manifest. ``paths``: names of the path column, of which Parquet must have one.

    Raises:
        InputError: it cannot be read.
        ExtraError: it is Parquet, and pyarrow is not installed.
    """
    kind = manifest.suffix.lower()
    if kind == ".parquet":
        return _parquet_rows(manifest, paths)
    return _json_rows(manifest) if kind == ".jsonl" else _table_rows(manifest, "," if kind == ".csv" else "\t")


def unreadable(manifest: Path, error: OSError) -> InputError:
    """For a manifest that the system does not let be read."""
    return InputError(f"cannot read {manifest} ({error.strerror or error}); check the name and the rights")


def _lines(manifest: Path) -> Iterator[str]:
    with manifest.open(encoding="utf-8-sig", newline="") as lines:
        number = 0
        while line := lines.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise InputError(f"line {number} of {manifest} is longer than {MAX_LINE} characters; shorten it")
            yield line


def _table_rows(manifest: Path, delimiter: str) -> Iterator[Row]:
    if delimiter == ",":
        reader = csv.reader(_lines(manifest), delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(_lines(manifest), delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    # Python's own limit for a value is a thirtieth of a line's.
    csv.field_size_limit(max(MAX_LINE, csv.field_size_limit()))
    try:
        names: list[str] | None = None
        for values in reader:
            if not values:
                continue
            if names is None:
                names = values
                if twice := {name for name in names if name and names.count(name) > 1}:
                    raise InputError(f"{manifest} has several columns called {one_line(min(twice), 40)}; wanted one")
                continue
            if len(values) != len(names):
                raise InputError(
                    f"line {reader.line_num} of {manifest} has {len(values)} values; wanted {len(names)}, one for each "
                    "column that its first line names"
                )
            yield {name: value or None for name, value in zip(names, values, strict=True)}
    except InputError:
        raise
    except (ValueError, csv.Error) as error:
        # What is not UTF-8 is found in whole blocks, somewhere beyond the reader's line.
        known = isinstance(error, csv.Error)
        what = f"line {reader.line_num} of {manifest} is no line of a table" if known else f"{manifest} is no table"
        raise InputError(
            f"{what} ({one_line(error)}); wanted UTF-8, values with {'commas' if delimiter == ',' else 'tabs'} "
            "between, and a first line that names the columns"
        ) from None
    except OSError as error:
        raise unreadable(manifest, error) from None


def _json_rows(manifest: Path) -> Iterator[Row]:
    try:
        for number, line in enumerate(_lines(manifest), 1):
            if not line.strip():
                continue
            row = json.loads(line, object_pairs_hook=_Object)
            if not isinstance(row, _Object):
                raise InputError(f"line {number} of {manifest} is no JSON object; wanted one a line, with a path")
            if row.twice is not None:
                raise InputError(f"line {number} of {manifest} has {one_line(row.twice, 40)} twice; wanted one")
            yield {
                name: NotCarried("lists or objects") if isinstance(value, (list, dict)) else value
                for name, value in row.items()
            }
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{manifest} is no manifest of JSON lines ({one_line(error)}); wanted an object a line"
        ) from None
    except OSError as error:
        raise unreadable(manifest, error) from None


def _parquet_rows(manifest: Path, paths: tuple[str, ...]) -> Iterator[Row]:
    pa = arrow()
    try:
        with parquet().ParquetFile(manifest) as file:
            metadata, described = file.metadata, file.schema_arrow
        names = described.names
        path = next((name for name in paths if name in names), None)
        if path is None:
            raise InputError(
                f"{manifest} has the columns {one_line(', '.join(names))}; wanted a file's path in one called "
                f"{', '.join(paths)}"
            )
        size = manifest.stat().st_size
        if not 0 <= metadata.num_rows <= ROWS_PER_BYTE * size:
            raise InputError(f"{manifest} has {size} bytes and claims {metadata.num_rows} rows; write it again")
        columns, others, times = list[str](), dict[str, Any](), Counter(names)
        for name in names:
            if times[name] > 1:
                raise InputError(f"{manifest} has several columns called {one_line(name, 40)}; wanted one")
            kind = described.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            text = str(kind) in _TEXTS
            if name == path and not text:
                raise InputError(f"{manifest} has {name} of type {one_line(kind, 60)}; wanted text in {name}")
            if text or any(is_kind(kind) for is_kind in _plain(pa.types)):
                columns.append(name)
            else:
                others[name] = NotCarried(f"values of type {one_line(kind, 60)}")
        with parquet().ParquetFile(manifest, metadata=metadata) as file:
            for batch in file.iter_batches(batch_size=_rows_at_once(manifest, columns), columns=columns):
                yield from ({**row, **others} for row in batch.to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{manifest} is no Parquet file that can be read ({one_line(error)}); write it again"
        ) from None


def _plain(types: Any) -> tuple[Any, ...]:
    return types.is_null, types.is_boolean, types.is_integer, types.is_floating


def _rows_at_once(manifest: Path, columns: list[str]) -> int:
    """How many rows may be read at a time: each may copy the longest text, which is no longer than a page.

    Raises:
        InputError: a page is unpacked to more than any writer makes.
    """
    groups = (group for those in row_groups(manifest, *columns).values() for group in those)
    largest = max(unpacked(manifest, groups), default=0)
    if largest > _LARGEST_PAGE:
        raise InputError(f"{manifest} has a page of more than {_LARGEST_PAGE} bytes; write it again")
    return max(1, min(_ROWS, _LARGEST_PAGE // 4 // max(1, largest)))
