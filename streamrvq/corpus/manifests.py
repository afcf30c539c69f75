"""Manifests: lists of audio files with what is known of them. The path is in a column with one of the usual names.

Relative paths start from the manifest's folder. A row stands for a whole file. A shard's ``path`` is the manifest's own
text, so the two can be joined by it. The other columns are carried into the shards.

Knows: which columns are what. Does not know: the formats (manifest_rows.py), whether the files exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..system.foreign_data import foreign_data, one_line, shown
from ..system.names import is_path
from ..system.regular_file import check_regular
from .columns import Columns, column_name, is_name, is_value
from .manifest_rows import NotCarried, rows_of, unreadable

MANIFESTS = {".jsonl", ".parquet", ".csv", ".tsv"}
#: Names of the path column, the most likely first.
PATHS = ("path", "audio_filepath", "file", "audio", "file_name")
#: A column that marks a row as a piece of a file, where it is not zero.
_OFFSET = "offset"
#: The characters of a path: more than any system opens.
_LONGEST = 1 << 15


class Listed(NamedTuple):
    """A row of a manifest."""

    path: str  #: exactly as the manifest states it
    columns: Columns  #: the others, by the names that they get in a shard
    left_out: dict[str, str]  #: columns that no shard can hold, and what they hold


def read_manifest(manifest: Path) -> Iterator[Listed]:
    """The rows of a manifest.

    Raises:
        InputError: the manifest cannot be read, has no path column, or has rows that are pieces of files or that no
            file can be named by, or values that no shard can hold.
        ExtraError: it is Parquet, and pyarrow is not installed.
    """
    with foreign_data(InputError, f"{manifest}", "write it again"):
        _check_file(manifest)
        for number, row in enumerate(rows_of(manifest, PATHS), 1):
            column = next((name for name in PATHS if name in row), None)
            path = None if column is None else row[column]
            if not isinstance(path, str) or not path:
                came = (
                    f"has the columns {one_line(', '.join(map(str, row)) or 'none')}"
                    if column is None
                    else f"has {path.kind} in {column}"
                    if isinstance(path, NotCarried)
                    else f"has {column} {shown(path)}"
                )
                raise InputError(
                    f"row {number} of {manifest} {came}; wanted a file's path as text in one called {', '.join(PATHS)}"
                )
            if isinstance(offset := row.get(_OFFSET), NotCarried):
                raise InputError(
                    f"row {number} of {manifest} has {offset.kind} in {_OFFSET}; wanted zero, as a number, for a row "
                    "is a whole file: leave the column out, and cut tokens by time when reading"
                )
            if not _is_zero(offset):
                raise InputError(
                    f"row {number} of {manifest} is a piece of {one_line(path)}, from "
                    f"{shown(offset, 40)} on; wanted whole files, for codes depend on what comes "
                    "before: leave the column out, and cut tokens by time when reading"
                )
            if not is_path(path) or len(path) > _LONGEST:
                raise InputError(
                    f"row {number} of {manifest} has {column} {one_line(ascii(path), 80)}, as no file can be named; "
                    "correct the row"
                )
            others = {name: value for name, value in row.items() if name not in (column, _OFFSET)}
            yield Listed(path, *_columns(others, f"row {number} of {manifest}"))


def _is_zero(offset: Any) -> bool:
    """Whether an offset says that a row is a whole file: it is left out, or zero."""
    if isinstance(offset, str):
        try:
            return float(offset) == 0
        except ValueError:
            return False
    return not offset


def _columns(row: dict[str, Any], where: str) -> tuple[Columns, dict[str, str]]:
    values, left_out = dict[str, Any](), dict[str, str]()
    for written, value in row.items():
        name = column_name(written)
        if isinstance(value, NotCarried):
            left_out[written] = value.kind
        elif not written:
            left_out[written] = "values without a name"
        elif not is_name(name) or name in values:
            raise InputError(f"{where} has a column {one_line(ascii(written), 60)}; give it a short name of its own")
        elif not is_value(value):
            raise InputError(
                f"{where} has {one_line(ascii(written), 60)} {one_line(ascii(value), 60)}; wanted text that is "
                "Unicode, a whole number below 2^63, or leave the column out"
            )
        else:
            values[name] = value
    return tuple(sorted(values.items())), left_out


def _check_file(manifest: Path) -> None:
    try:
        check_regular(manifest)
    except OSError as error:
        raise unreadable(manifest, error) from None
