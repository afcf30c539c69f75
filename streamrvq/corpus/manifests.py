"""Manifests: lists of audio files as JSON lines or Parquet. The path is in a column with one of the usual names.

Relative paths start from the manifest's folder. A row stands for a whole file. The other columns are not copied into
the shards. A shard's ``path`` is the manifest's own text, so the two can be joined by it.

Knows: these two formats. Does not know: whether the files exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..tokens.schema import arrow, parquet

MANIFESTS = {".jsonl", ".parquet"}
#: Names of the path column, the most likely first.
PATHS = ("path", "audio_filepath", "file", "audio", "file_name")
#: A column that marks a row as a piece of a file, where it is not zero.
_OFFSET = "offset"


def read_manifest(manifest: Path) -> list[str]:
    """The paths, exactly as the manifest states them.

    Raises:
        InputError: the manifest cannot be read, has no path column, or has rows that are pieces of files.
        ExtraError: it is Parquet, and pyarrow is not installed.
    """
    rows = _parquet_rows(manifest) if manifest.suffix.lower() == ".parquet" else _json_rows(manifest)
    paths = []
    for number, row in enumerate(rows, 1):
        column = next((name for name in PATHS if name in row), None)
        path = None if column is None else row[column]
        if not isinstance(path, str) or not path:
            came = (
                f"has the columns {', '.join(map(str, row)) or 'none'}" if column is None else f"has {column} {path!r}"
            )
            raise InputError(
                f"row {number} of {manifest} {came}; wanted a file's path as text in one called {', '.join(PATHS)}"
            )
        if row.get(_OFFSET):
            raise InputError(
                f"row {number} of {manifest} is a piece of {path}, from {row[_OFFSET]!r} on; wanted whole files, for "
                "codes depend on what comes before: leave the column out, and cut tokens by time when reading"
            )
        paths.append(path)
    return paths


def _json_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    try:
        with manifest.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise InputError(f"line {number} of {manifest} is no JSON object; wanted one a line, with a path")
                yield row
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{manifest} is no manifest of JSON lines ({error}); wanted an object a line") from None
    except OSError as error:
        raise InputError(f"cannot read {manifest} ({error.strerror or error}); check the name and the rights") from None


def _parquet_rows(manifest: Path) -> Iterator[dict[str, Any]]:
    try:
        file = parquet().ParquetFile(manifest)
        names = file.schema_arrow.names
        columns = [name for name in PATHS if name in names][:1] + [name for name in (_OFFSET,) if name in names]
        if not columns or columns == [_OFFSET]:
            raise InputError(
                f"{manifest} has the columns {', '.join(names)}; wanted a file's path in one called {', '.join(PATHS)}"
            )
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
    except (arrow().ArrowException, OSError) as error:
        raise InputError(f"{manifest} is no Parquet file that can be read ({error}); write it again") from None
