"""What becomes of an object that is copied, or pickled for another process.

Three kinds of objects need more than Python's default, which would copy a lock, an address or half of a state:

- `NeverCopied` holds something of this process that cannot be had twice: a device, a file, a connection, threads. A
  copy is refused with a sentence.
- `Shared` never changes. Its copies are itself, as those of a tuple are.
- `CopiedWhole` changes, part by part. A shallow copy would share the parts and keep its own counts of them.

A fork copies objects, too: `forked_whole`.

Knows: Python's copy protocol, and forks. Does not know: who takes part.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import cached_property
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from ..errors import StreamRVQError

T = TypeVar("T")


def forked_whole(kind: type[T]) -> type[T]:
    """A class whose cached properties work in a forked child, whatever its parent's threads were at.

    Until Python 3.11 such a property has a lock, which a child may find taken by a thread that it does not have. What
    two threads compute at once is the same.
    """
    for value in vars(kind).values():
        if isinstance(value, cached_property) and hasattr(value, "lock"):
            value.lock = nullcontext()
    return kind


def _also_a_type_error(error: type[StreamRVQError]) -> type[StreamRVQError]:
    """``error`` as Python's own refusals are classed: libraries that try whether a thing can be pickled expect that."""
    back = {"__module__": error.__module__, "__reduce__": lambda self: (error, self.args)}  # it can be sent itself
    return type(error.__name__, (error, TypeError), back)


class NeverCopied:
    """Refuses `copy.copy`, `copy.deepcopy` and pickling.

    A subclass says why, as keywords of its class statement: ``error``, the class to raise; ``holds``, what it holds,
    such as "an open file"; ``instead``, what to do.
    """

    _copy_refusal: ClassVar[tuple[type[StreamRVQError], str, str]]

    def __init_subclass__(
        cls, *, error: type[StreamRVQError] | None = None, holds: str = "", instead: str = "", **others: Any
    ) -> None:
        super().__init_subclass__(**others)
        if error is not None:
            cls._copy_refusal = _also_a_type_error(error), holds, instead

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        error, holds, instead = self._copy_refusal
        refused = "cannot be pickled" if isinstance(self, Shared) else "can be neither copied nor pickled"
        raise error(f"{type(self).__name__} holds {holds} and {refused}; {instead}")


class Shared:
    """`copy.copy` and `copy.deepcopy` give the object itself. With `NeverCopied` beside it, pickling is refused.

    Its classes are `forked_whole`.
    """

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        forked_whole(cls)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class CopiedWhole:
    """`copy.copy` is `copy.deepcopy`."""

    def __copy__(self) -> Self:
        return copy.deepcopy(self)
