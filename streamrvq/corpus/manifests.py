"""Manifests: lists of audio files as JSON lines or Parquet. The path is in a column with one of the usual names.

Relative paths start from the manifest's folder. A row stands for a whole file. The other columns are not copied into
the shards. A shard's ``path`` is the manifest's own text, so the two can be joined by it.

A manifest's rows come one at a time, and each is bounded, so that a small file cannot ask for much memory.

Knows: these two formats. Does not know: whether the files exist.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import check_regular
from ..tokens.footer import row_groups, unpacked
from ..tokens.schema import arrow, parquet

MANIFESTS = {".jsonl", ".parquet"}
#: Names of the path column, the most likely first.
PATHS = ("path", "audio_filepath", "file", "audio", "file_name")
#: A column that marks a row as a piece of a file, where it is not zero.
_OFFSET = "offset"
#: Characters of a line of JSON. A line of texts and figures about a file takes a thousandth.
MAX_LINE = 4 << 20
#: Rows of a Parquet manifest for each of its bytes. Paths in order, well compressed, take a third of a byte.
ROWS_PER_BYTE = 8
#: Rows that are read at a time, and the characters of a path in them: more than any system opens.
_ROWS, _LONGEST = 1024, 1 << 15
#: Bytes of a page of a Parquet manifest when it is unpacked. Writers end one at a megabyte, or 1024 rows later.
_LARGEST_PAGE = 64 << 20


def read_manifest(manifest: Path) -> Iterator[str]:
    """The paths, exactly as the manifest states them.

    Raises:
        InputError: the manifest cannot be read, has no path column, or has rows that are pieces of files or that no
            file can be named by.
        ExtraError: it is Parquet, and pyarrow is not installed.
    """
    with foreign_data(InputError, f"{manifest}", "write it again"):
        _check_file(manifest)
        rows = _parquet_rows(manifest) if manifest.suffix.lower() == ".parquet" else _json_rows(manifest)
        for number, row in enumerate(rows, 1):
            column = next((name for name in PATHS if name in row), None)
            path = None if column is None else row[column]
            if not isinstance(path, str) or not path:
                came = (
                    f"has the columns {one_line(', '.join(map(str, row)) or 'none')}"
                    if column is None
                    else f"has {column} {one_line(repr(path), 80)}"
                )
                raise InputError(
                    f"row {number} of {manifest} {came}; wanted a file's path as text in one called {', '.join(PATHS)}"
                )
            if row.get(_OFFSET):
                raise InputError(
                    f"row {number} of {manifest} is a piece of {one_line(path)}, from "
                    f"{one_line(repr(row[_OFFSET]), 40)} on; wanted whole files, for codes depend on what comes "
                    "before: leave the column out, and cut tokens by time when reading"
                )
            if not is_path(path) or len(path) > _LONGEST:
                raise InputError(
                    f"row {number} of {manifest} has {column} {one_line(ascii(path), 80)}, as no file can be named; "
                    "correct the row"
                )
            yield path


def _check_file(manifest: Path) -> None:
    try:
        check_regular(manifest)
    except OSError as error:
        raise _unreadable(manifest, error) from None


def _unreadable(manifest: Path, error: OSError) -> InputError:
    return InputError(f"cannot read {manifest} ({error.strerror or error}); check the name and the rights")


def is_path(path: str) -> bool:
    """Whether a system can have a file of this name: no NUL, no half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _json_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    try:
        with manifest.open(encoding="utf-8") as lines:
            number = 0
            while line := lines.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise InputError(f"line {number} of {manifest} is longer than {MAX_LINE} characters; shorten it")
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError(f"line {number} of {manifest} is no JSON object; wanted one a line, with a path")
                yield row
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{manifest} is no manifest of JSON lines ({one_line(error)}); wanted an object a line"
        ) from None
    except OSError as error:
        raise _unreadable(manifest, error) from None


def _parquet_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    pa = arrow()
    try:
        with parquet().ParquetFile(manifest) as file:
            names, metadata, described = file.schema_arrow.names, file.metadata, file.schema_arrow
        columns = [name for name in PATHS if name in names][:1] + [name for name in (_OFFSET,) if name in names]
        if not columns or columns == [_OFFSET]:
            raise InputError(
                f"{manifest} has the columns {one_line(', '.join(names))}; wanted a file's path in one called "
                f"{', '.join(PATHS)}"
            )
        size = manifest.stat().st_size
        if not 0 <= metadata.num_rows <= ROWS_PER_BYTE * size:
            raise InputError(f"{manifest} has {size} bytes and claims {metadata.num_rows} rows; write it again")
        for name in columns:
            if names.count(name) > 1:
                raise InputError(f"{manifest} has several columns called {name}; wanted one")
            kind = described.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            text, number = pa.types.is_string(kind) or pa.types.is_large_string(kind), pa.types.is_primitive(kind)
            if not text and (name != _OFFSET or not (number or pa.types.is_null(kind))):
                raise InputError(f"{manifest} has {name} of type {one_line(kind, 60)}; wanted text in {columns[0]}")
        with parquet().ParquetFile(manifest, metadata=metadata) as file:
            for batch in file.iter_batches(batch_size=_rows_at_once(manifest, columns), columns=columns):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{manifest} is no Parquet file that can be read ({one_line(error)}); write it again"
        ) from None


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
