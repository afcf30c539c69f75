"""Parquet files with one thing broken: a column's type or values, nulls, rows, metadata, bytes.

Knows: Arrow tables. Does not know: what a table means.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from .json_text import HOSTILE
from .raw_bytes import one_change

_INTEGERS = [0, -1, 1, 7, 255, 2**15 - 1, 2**31 - 1, 2**53, 2**63 - 1, -(2**63)]
_BAD_UTF8 = pa.StringArray.from_buffers(
    1, pa.py_buffer(np.array([0, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")
)


def _like(value: Any, kind: pa.DataType | None = None) -> Any:
    return lambda rows: pa.array([value] * rows, kind)


#: Columns of so many rows that are not what was wanted.
_COLUMNS = [
    *(_like(number, pa.int64()) for number in _INTEGERS), _like(2**64 - 1, pa.uint64()), _like(None), _like(""),
    _like(None, pa.int32()), _like(None, pa.string()), _like("x"), _like("a\0b"), _like("x" * 40_000), _like(0.5),
    _like(float("nan")), _like(True), _like([1]), _like([1], pa.list_(pa.uint16())), _like([], pa.list_(pa.uint16())),
    _like(None, pa.list_(pa.uint16())), _like([None], pa.list_(pa.uint16())), _like([-5]), _like([70_000]),
    _like(["a"]), _like([0.5]), _like([[1]]), _like({"path": "x"}), _like(b"\xff"),
    _like([1, 2], pa.list_(pa.uint16(), 2)),
    lambda rows: pa.array(["a"] * rows).dictionary_encode(), lambda rows: pa.concat_arrays([_BAD_UTF8] * rows),
    lambda rows: pa.array(range(rows)), lambda rows: pa.array([str(row) for row in range(rows)]),
]  # fmt: skip


def _of_type(kind: pa.DataType) -> list[Any]:
    """Values that a column of whole numbers or booleans can hold; none of any other type."""
    if pa.types.is_boolean(kind):
        return [False, True]
    if not pa.types.is_integer(kind):
        return []
    limits = np.iinfo(kind.to_pandas_dtype())
    return [number for number in (0, -1, 1, 2, 32_767) if limits.min <= number <= limits.max]


def written(table: pa.Table, **options: Any) -> bytes:
    """A table as a file's bytes."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


@st.composite
def broken_parquet(draw: st.DrawFn, file: bytes) -> bytes:
    """``file``, which is right, with one thing broken; sometimes with none."""
    table = pq.read_table(io.BytesIO(file))
    kind = draw(st.sampled_from(["column", "column", "row", "lacking", "rows", "metadata", "bytes", "footer", "again"]))
    if kind == "bytes":
        return draw(one_change(file, len(file)))
    if kind == "footer":
        first = max(0, len(file) - 8 - int.from_bytes(file[-8:-4], "little"))
        return file[:first] + draw(one_change(file[first:]))
    number = draw(st.integers(0, table.num_columns - 1))
    name, rows = table.column_names[number], table.num_rows
    if kind == "column":
        table = table.set_column(number, name, draw(st.sampled_from(_COLUMNS))(rows))
    elif kind == "row":  # one value of a column of numbers or booleans
        values, field = table[name].to_pylist(), table.schema.field(name)
        others = _of_type(field.type)
        if rows and others:
            values[draw(st.integers(0, rows - 1))] = draw(st.sampled_from(others))
            table = table.set_column(number, field, pa.array(values, field.type))
    elif kind == "lacking":
        table = table.drop_columns([name])
    elif kind == "rows":
        table = table.take(pa.array(draw(st.lists(st.integers(0, rows - 1), max_size=2 * rows)), pa.int64()))
    elif kind == "metadata":
        metadata = dict(pq.read_metadata(io.BytesIO(file)).metadata or {})
        metadata.pop(b"ARROW:schema", None)  # pyarrow writes it by itself
        key = draw(st.sampled_from([*sorted(metadata), b"x"]))
        metadata[key] = draw(st.sampled_from([text.encode() for text in HOSTILE]) | st.binary(max_size=30))
        table = table.replace_schema_metadata(metadata)
    return written(table, row_group_size=draw(st.sampled_from([1, 2, 1000])))
