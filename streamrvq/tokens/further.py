"""Further columns of a shard: what a manifest said of its files, such as their text, speaker or language.

Knows: which columns of a Parquet file these are, and what they may take when they are read. Does not know: manifests,
signals, codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TokensError
from . import schema
from .footer import RowGroup, unpacked

Value = str | int | float | bool | None

#: Bytes that the pages of a row group may be unpacked to, whatever the size of the file, and for each of its bytes.
_MOST_UNPACKED, _UNPACKED_PER_BYTE = 64 << 20, 16
_OURS = {*schema.INDEX, "codes", schema.PACKED}


def further_columns(columns: Any) -> dict[str, bool]:
    """The further columns of an Arrow schema that hold text, numbers or booleans, by name: whether it is text."""
    types, found = schema.arrow().types, dict[str, bool]()
    for field in columns:
        kind = field.type.value_type if schema.arrow().types.is_dictionary(field.type) else field.type
        text = types.is_string(kind) or types.is_large_string(kind)
        if field.name not in _OURS and (text or types.is_boolean(kind) or types.is_integer(kind)
                                        or types.is_floating(kind)):  # fmt: skip
            found[field.name] = text
    return found


def read_further(file: Any, path: Path, group: int, claims: Mapping[str, Sequence[RowGroup]]) -> list[dict[str, Value]]:
    """The values of some columns in each row of a row group of an open Parquet file.

    Args:
        file, path: the file.
        group: number of the row group.
        claims: what the footer says of these columns, as `footer.row_groups` gives it.

    Raises:
        TokensError: they would take far more room than the file has.
    """
    if not claims:
        return [{}] * int(file.metadata.row_group(group).num_rows)
    size = path.stat().st_size
    needed = sum(unpacked(path, [groups[group] for groups in claims.values()]))
    if needed > max(_MOST_UNPACKED, _UNPACKED_PER_BYTE * size):
        raise TokensError(f"{path} has {size} bytes, of which further columns would make {needed}; encode it again")
    rows: list[dict[str, Value]] = file.read_row_group(group, columns=list(claims)).to_pylist()
    return rows
