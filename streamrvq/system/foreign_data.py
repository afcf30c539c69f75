"""Foreign bytes, and one place where whatever they cause becomes an error of ours.

A reader checks what it knows can be wrong and says so in its own words. What it did not think of raises anything at
all: libraries raise their own classes, numbers overflow, a name has no characters, a message fails while it is
printed. Every reader works inside `foreign_data`, so that its callers meet one kind of error.

Knows: how to tell of an exception or a value in one line. Does not know: any format.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeGuard

from ..errors import StreamRVQError

_MOST = 200  #: characters of another library's message


def one_line(value: object, most: int = _MOST) -> str:
    """``value`` as one printable line of at most ``most`` characters, whatever it holds; its type if it has no text."""
    try:
        words = " ".join(str(value).split())
    except Exception:
        return f"a {type(value).__name__}"
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


def shown(value: object, most: int = 80) -> str:
    """A foreign value as a message quotes it: like ``repr``, but one printable line of at most ``most`` characters.

    It costs little whatever the value is. A few KB of nested lists that share their parts can have a ``repr`` of many
    GB, and so can the ``repr`` of a foreign class; such a value is named by its type.
    """
    try:
        return one_line(_SHORT.repr(value), most)
    except Exception:  # such as a whole number with more digits than Python prints
        return f"a {type(value).__name__}"


def is_whole(value: object, least: int, most: float = math.inf) -> TypeGuard[int]:
    """Whether a caller gave a whole number from ``least`` to ``most``: an int or one of numpy's, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) <= most


class _Short(reprlib.Repr):
    """A short ``repr`` of plain values and numbers, numpy's too, that calls no method of any other class."""

    _PLAIN = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict)

    def repr1(self, x: object, level: int) -> str:
        if type(x) not in self._PLAIN and isinstance(x, numbers.Real):
            x = int(x) if isinstance(x, numbers.Integral) else float(x)
        return super().repr1(x, level) if type(x) in self._PLAIN else f"a {type(x).__name__}"


_SHORT = _Short()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 3, 12, 12, 4
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


@contextmanager
def foreign_data(kind: type[StreamRVQError], what: str, remedy: str) -> Iterator[None]:
    """Turn whatever is raised inside into ``kind``, save our own errors and those of the operating system.

    Args:
        kind: an error that takes one message.
        what: what is read, such as ``"model.safetensors"``.
        remedy: what to do about it.

    Raises:
        StreamRVQError: ``kind``; or what the inside raised, if it was one of ours.
        OSError: as the inside raised it: the file is missing, or may not be read.
    """
    try:
        yield
    except (StreamRVQError, OSError):
        raise
    except MemoryError:
        raise kind(f"{one_line(what)} asks for more memory than there is; {remedy}") from None
    except Exception as error:
        raise kind(f"{one_line(what)} cannot be read ({type(error).__name__}: {one_line(error)}); {remedy}") from error
