"""The index of a shard: every column but the codes, checked before anything is read by it.

A file may claim anything. Rows, and the codes of a row group, are bounded by the bytes of the file before they are
read; the values of a signal's rows must fit together, since frames are found by them.

Knows: what rows of a shard can be (schema.py). Does not know: codes, signals.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from ..system.foreign_data import one_line
from . import schema
from .footer import RowGroup, row_groups, unpacked
from .limits import CODES_PER_BYTE, MOST_GROUP_CODES, MOST_LEVELS, MOST_RATE

Numbers = npt.NDArray[np.int64]

#: Bytes of index columns that pages may be unpacked to, whatever the size of the file, and for each of its bytes.
_MOST_UNPACKED, _UNPACKED_PER_BYTE = 64 << 20, 16
#: The same of codes, for each claimed value: eight bytes in an index of a dictionary and eight in it.
_UNPACKED_PER_CODE = 16
#: Rows that a file may have whatever its size, and bytes that each further one takes: a checksum has eight digits.
_MOST_ROWS, _BYTES_PER_ROW = 1 << 18, 8
#: Characters of a path: more than any system opens.
_LONGEST = 1 << 15
#: Positions and lengths are exact in a double up to here, and their sums fit an int64.
_FURTHEST = 2**53

#: The columns of text. They are read as dictionaries.
TEXT = ["path", "codec_hash"]
#: The least and the largest value of each column of numbers.
_LIMITS = {
    "channel": (-1, 32767), "segment": (0, 2**31 - 1), "offset": (0, _FURTHEST), "num_samples": (0, _FURTHEST),
    "source_rate": (1, MOST_RATE), "start_frame": (0, _FURTHEST), "frames": (0, 2**31 - 1),
    "n_quantizers": (1, MOST_LEVELS), "sample_rate": (1, MOST_RATE), "hop_length": (1, MOST_RATE),
}  # fmt: skip
#: What all rows of a signal share.
_SAME = ("channel", "source_rate", "n_quantizers", "sample_rate", "hop_length")


@dataclasses.dataclass(frozen=True, eq=False)
class ShardIndex:
    """The rows of a shard.

    Attributes:
        numbers: the columns of integers, int64 ``[rows]``.
        text: the columns of text, as Arrow arrays.
        starts: the first row of each signal, and the number of rows.
        groups: the first row of each row group, and the number of rows.
        checksums: of each row's codes; None in a shard of a version that wrote none.
        codes: where each row group has its codes.
        bits: of each code, if they are packed; otherwise 0.
    """

    numbers: dict[str, Numbers]
    text: dict[str, Any]
    starts: Numbers
    groups: Numbers
    checksums: npt.NDArray[np.uint32] | None
    codes: list[RowGroup]
    bits: int

    def sizes(self, group: int) -> Numbers:
        """How many codes each row of a row group has."""
        rows = slice(int(self.groups[group]), int(self.groups[group + 1]))
        sizes: Numbers = self.numbers["frames"][rows] * self.numbers["n_quantizers"][rows]
        return sizes

    def check_pages(self, group: int, path: Path) -> None:
        """Raise `TokensError` if a row group's codes would take far more room than codes do."""
        claim = self.codes[group]
        values = int(self.sizes(group).sum()) if self.bits else claim.values
        if (needed := sum(unpacked(path, [claim]))) > _MOST_UNPACKED // 8 + _UNPACKED_PER_CODE * values:
            raise TokensError(f"{path} has {values} codes in a row group that would take {needed} bytes")


def check_columns(columns: Any, path: Path, bits: int) -> None:
    """Raise `TokensError` if columns of an Arrow schema are missing or of another type. ``bits``: of `ShardIndex`."""
    named = (*schema.INDEX, schema.PACKED if bits else "codes")
    if missing := set(named) - set(columns.names):
        raise TokensError(f"{path} lacks the columns {', '.join(sorted(missing))}; encode it again")
    types = schema.arrow().types
    for name in named:
        kind = columns.field(name).type
        if name == "codes":
            fits = (types.is_list(kind) or types.is_large_list(kind)) and types.is_integer(kind.value_type)
        elif name == schema.PACKED:
            fits = types.is_binary(kind) or types.is_large_binary(kind)
        elif name in TEXT:
            kind = kind.value_type if types.is_dictionary(kind) else kind
            fits = types.is_string(kind) or types.is_large_string(kind)
        else:
            fits = types.is_integer(kind)
        if not fits:
            raise TokensError(f"{path} has {name} of type {one_line(kind, 60)}, as no run writes it; encode it again")


def read_index(file: Any, path: Path, bits: int) -> ShardIndex:
    """The index of an open Parquet file whose columns were checked.

    Raises:
        TokensError: they hold what no run writes.
    """
    size, rows = path.stat().st_size, file.metadata.num_rows
    columns = row_groups(path, *schema.INDEX, name := schema.PACKED if bits else "codes")
    claims = columns.pop(name)
    groups = [claim.rows for claim in claims]
    most = min(size, max(_MOST_ROWS, size // _BYTES_PER_ROW))
    if sum(groups) != rows or rows > most or len(groups) != file.num_row_groups:
        raise TokensError(f"{path} has {size} bytes and claims {rows} rows; it is damaged: encode it again")
    needed = sum(unpacked(path, itertools.chain.from_iterable(columns.values())))
    if needed > max(_MOST_UNPACKED, _UNPACKED_PER_BYTE * size):
        raise TokensError(f"{path} has {size} bytes, of which its index would make {needed}; encode it again")
    table = file.read(columns=list(schema.INDEX)).unify_dictionaries()
    if table.num_rows != rows:
        raise TokensError(f"{path} has {table.num_rows} rows and claims {rows}; it is damaged: encode it again")
    for name in schema.INDEX:
        if table[name].null_count:
            raise TokensError(f"{path} has no {name} in some rows; it is damaged: encode it again")
    text = {name: _text(table[name].combine_chunks(), name, path) for name in TEXT}
    numbers = {name: _numbers(table[name], name, path) for name in _LIMITS}
    _check_signals(numbers, text, path)
    index = ShardIndex(
        numbers, text, starts=np.append(np.flatnonzero(numbers["segment"] == 0), rows),
        groups=np.cumsum([0, *groups]), checksums=schema.checksums_of(file.metadata.metadata, rows, path), codes=claims,
        bits=bits,
    )  # fmt: skip
    most = max(MOST_GROUP_CODES, CODES_PER_BYTE * size)
    for group, claim in enumerate(claims):
        sizes, where = index.sizes(group), f"rows {index.groups[group]} to {index.groups[group + 1] - 1}"
        if (codes := int(sizes.sum())) > most:
            raise TokensError(
                f"{path} has {size} bytes and claims {codes} codes in {where}; it is damaged: encode it again"
            )
        if claim.values != (len(sizes) if bits else np.maximum(sizes, 1).sum()):  # one value for a row without codes
            raise TokensError(f"{path} has {claim.values} codes in {where}, and claims {codes}: encode it again")
    return index


def _text(column: Any, name: str, path: Path) -> Any:
    if not hasattr(column, "dictionary"):
        column = column.dictionary_encode()
    column.validate(full=True)  # no index beyond its dictionary
    column.dictionary.validate(full=True)  # valid UTF-8, too
    if max(map(len, column.dictionary.to_pylist()), default=0) > _LONGEST:
        raise TokensError(f"{path} has a {name} of more than {_LONGEST} characters; it is damaged: encode it again")
    return column


def _numbers(column: Any, name: str, path: Path) -> Numbers:
    values, (least, most) = column.to_numpy(), _LIMITS[name]
    wrong = (values < least) | (values > most)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise TokensError(
            f"row {row} of {path} has {name} {values[row]}; wanted {least} to {most}: it is damaged, encode it again"
        )
    numbers: Numbers = values.astype(np.int64)
    return numbers


def _check_signals(numbers: dict[str, Numbers], text: dict[str, Any], path: Path) -> None:
    """Each row begins a signal, or goes on where the row before it ended."""
    segment, begin, end = numbers["segment"], numbers["start_frame"], numbers["start_frame"] + numbers["frames"]
    first = segment == 0
    fits = np.where(first, begin == 0, False)
    goes_on = (segment[1:] == segment[:-1] + 1) & (begin[1:] == end[:-1])
    for name in _SAME:
        goes_on &= numbers[name][1:] == numbers[name][:-1]
    for name in TEXT:
        which = text[name].indices.to_numpy(zero_copy_only=False)
        goes_on &= which[1:] == which[:-1]
    fits[1:] |= ~first[1:] & goes_on
    if not fits.all():
        row = int(np.argmin(fits))
        raise TokensError(f"row {row} of {path} does not go on where the row before it ended; encode it again")
    samples = numbers["num_samples"].astype(np.float64)
    if len(samples) and np.add.reduceat(samples, np.flatnonzero(first)).max() > _FURTHEST:
        raise TokensError(f"{path} claims a signal of more than {_FURTHEST} samples; it is damaged: encode it again")
