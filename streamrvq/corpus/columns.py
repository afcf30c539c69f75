"""Further columns of a run: what manifests say of their files beside the path, carried into the shards.

A column holds text, numbers or booleans. Its kind is that of all its values, and a source without a value has none
there. Names of the shard's own columns are taken: a manifest's ``sample_rate`` becomes ``manifest_sample_rate``.

Knows: kinds of values, and how those of several sources go together. Does not know: manifests, shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import CorpusError, InputError
from ..system.foreign_data import one_line, shown
from ..tokens.further import Value
from ..tokens.schema import INDEX, PACKED

Columns = tuple[tuple[str, Value], ...]

#: Kinds of columns by the types of their values, as Arrow calls them.
KINDS: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "double"}
#: Names that a shard's own columns have, and what is put before a manifest's column of such a name.
_TAKEN, _PREFIX = {*INDEX, "codes", PACKED}, "manifest_"
#: Columns of a run, and characters of a name and of a value.
MOST_COLUMNS, LONGEST_NAME, LONGEST_VALUE = 1000, 256, 1 << 22


def column_name(name: str) -> str:
    """The name that a manifest's column gets in a shard."""
    return _PREFIX + name if name in _TAKEN else name


def checked_columns(values: Any) -> Columns:
    """The columns of one source, in the order of their names. Raises `ValueError` if they are none."""
    if not isinstance(values, Mapping) or len(values) > MOST_COLUMNS:
        raise ValueError(f"columns {one_line(type(values).__name__)}")
    for name, value in values.items():
        if not is_name(name) or not is_value(value):
            raise ValueError(f"a column {one_line(ascii(name), 40)} with {shown(value, 40)}")
    return tuple(sorted(values.items()))


def is_name(name: Any) -> bool:
    """Whether a column may be called so."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name not in _TAKEN and _is_unicode(name)


def is_value(value: Any) -> bool:
    """Whether a column can hold it."""
    if isinstance(value, str):
        return len(value) <= LONGEST_VALUE and _is_unicode(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, (bool, float))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def kinds_of(rows: Iterable[tuple[str, Columns]]) -> dict[str, str]:
    """The kind of each column of some sources, by name. One without any value is text.

    Args:
        rows: names of the sources, and their columns.

    Raises:
        InputError: a column has values of several kinds, or there are too many columns.
    """
    found: dict[str, dict[str, str]] = {}  # by name and kind, where it was seen first
    inexact: dict[str, str] = {}  # columns with whole numbers that a double does not hold
    for path, columns in rows:
        for name, value in columns:
            kinds = found.setdefault(name, {})
            if value is not None:
                kinds.setdefault(KINDS[type(value)], f"{one_line(path)} has {shown(value, 40)}")
                if type(value) is int and abs(value) > 2**53:
                    inexact.setdefault(name, f"{one_line(path)} has {value}")
        if len(found) > MOST_COLUMNS:
            raise InputError(f"the manifests have more than {MOST_COLUMNS} columns; leave out those that nobody reads")
    return {name: _one_kind(name, found[name], inexact.get(name)) for name in sorted(found)}


def _one_kind(name: str, seen: dict[str, str], inexact: str | None) -> str:
    if seen.keys() == {"int64", "double"}:
        if inexact is not None:
            raise InputError(
                f"the column {one_line(name, 40)} has numbers with a point, and {inexact}, which is not exact among "
                "them; write the column as text"
            )
        return "double"
    if len(seen) > 1:
        raise InputError(
            f"the column {one_line(name, 40)} has values of several kinds: {', and '.join(seen.values())}; wanted one "
            "kind in a column"
        )
    return next(iter(seen), "string")


def check_added(known: Mapping[str, str], rows: Sequence[tuple[str, Columns]]) -> None:
    """Refuse sources that a run with these columns has no room for. Sources may lack columns: they have none there.

    Raises:
        InputError: as `kinds_of`.
        CorpusError: they have another column, or one of another kind.
    """
    for name, kind in kinds_of(rows).items():
        if all(dict(columns).get(name) is None for _, columns in rows):
            continue
        if name not in known:
            raise CorpusError(
                f"new sources have the column {one_line(name, 40)}, which the run was begun without; leave it out of "
                "the manifest, or give a new folder"
            )
        if kind != known[name] and (kind, known[name]) != ("int64", "double"):
            raise CorpusError(
                f"new sources have {one_line(name, 40)} as {kind}, and the run has it as {known[name]}; write the "
                "manifest so, or give a new folder"
            )


def merged(path: str, one: Columns, other: Columns) -> Columns:
    """The columns of a source that two entries name.

    Raises:
        InputError: they say different things of it.
    """
    values = dict(one)
    for name, value in other:
        if value is None or values.get(name) is None:
            values[name] = value if values.get(name) is None else values[name]
        elif not _same(values[name], value):
            raise InputError(
                f"{one_line(path)} is named twice, with {one_line(name, 40)} {shown(values[name], 40)} and "
                f"{shown(value, 40)}; wanted one row for a file"
            )
    return tuple(sorted(values.items()))


def _same(one: Value, other: Value) -> bool:
    """Whether two rows say the same. What is no number (NaN) is the same as what is none, though ``==`` denies it."""
    return type(one) is type(other) and (one == other or (one != one and other != other))
