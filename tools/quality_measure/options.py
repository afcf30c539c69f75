"""Options that are lists of numbers: tools/quality and tools/listen read them alike.

Knows: commas and ``none``. Does not know: what the numbers are of.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import QualityError


def numbers(option: str, given: str | None, default: Sequence[int]) -> tuple[int, ...]:
    """The numbers in ``given``; ``default`` without it, and none for ``none``.

    Raises `QualityError` for anything else.
    """
    if given is None or given == "none":
        return () if given else tuple(default)
    try:
        return tuple(int(part) for part in given.split(","))
    except ValueError:
        raise QualityError(f"{option} is {given!r}; wanted whole numbers with commas between them, or none") from None
