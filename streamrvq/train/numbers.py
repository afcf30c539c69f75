"""Checks that the numbers in a table of settings are numbers, by the types of its fields, and in their ranges.

Knows: whole numbers, finite numbers, tuples of them, ranges. Does not know: what any setting means.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ConfigError
from ..system.foreign_data import shown

#: The limit of numbers without one of their own, which only count, or weigh.
_MOST = 2**53


def check_numbers(settings: Any, limits: Mapping[str, int]) -> None:
    """Refuse a field of a dataclass that is annotated as a number, or as a tuple of numbers, and is something else.

    Args:
        settings: the dataclass; its annotations are text.
        limits: the greatest size of a field's numbers, by its name. Whole numbers below 0 are refused too.

    Raises:
        ConfigError: the message names the field, its value, and what was wanted.
    """
    for field in dataclasses.fields(settings):
        value, kind, most = getattr(settings, field.name), str(field.type), limits.get(field.name, _MOST)
        if kind.endswith(" | None") and value is None:
            continue
        kind = kind.removesuffix(" | None")
        if kind in ("int", "float"):
            good = _fits(value, kind, most)
            wanted = _described(kind, most)
        elif kind in ("tuple[int, ...]", "tuple[float, ...]", "tuple[float, float]"):
            part = kind[6:].partition(",")[0]
            good = isinstance(value, tuple) and all(_fits(each, part, most) for each in value)
            if kind == "tuple[float, float]":
                good = good and len(value) == 2
            wanted = f"a list, each {_described(part, most)}"
        else:
            continue
        if not good:
            raise ConfigError(f"{field.name} is {shown(value)}; wanted {wanted}")


def check_within(settings: Any, names: Iterable[str], least: float, most: float = math.inf) -> None:
    """Refuse a number, or a tuple with one, that is below ``least`` or above ``most``. Raises as `check_numbers`."""
    wanted = f"{least:g} to {most:g}" if most < math.inf else f"a number of at least {least:g}"
    for name in names:
        value = getattr(settings, name)
        if not all(least <= each <= most for each in (value if isinstance(value, tuple) else (value,))):
            raise ConfigError(f"{name} is {shown(value)}; wanted {wanted}")


def check_distinct(name: str, values: Iterable[object]) -> None:
    """Refuse the setting ``name`` if one of its ``values`` comes twice. Raises `ConfigError`."""
    values = tuple(values)
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ConfigError(f"{name} is {shown(values)}; wanted each once: {shown(twice[0])} comes again")


def is_weight(value: object) -> bool:
    """Whether ``value`` is a number of at least 0 and at most 2⁵³."""
    return _fits(value, "float", _MOST) and value >= 0  # type: ignore[operator]  # it is a number there


def is_count(value: object) -> bool:
    """Whether ``value`` is a whole number of at least 0."""
    return _fits(value, "int", _MOST)


def is_finite(value: object) -> bool:
    """Whether ``value`` is a number that is not infinite, of any size that a float has."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1.7e308 < value < 1.7e308


def _fits(value: object, kind: str, most: int) -> bool:
    if isinstance(value, bool):
        return False
    if kind == "int":
        return isinstance(value, int) and 0 <= value <= most
    return isinstance(value, (int, float)) and -most <= value <= most  # NaN is not


def _described(kind: str, most: int) -> str:
    limit = "" if most == _MOST else f" of at most {most}"
    return f"a whole number{limit}, 0 or more" if kind == "int" else f"a finite number{limit}"
