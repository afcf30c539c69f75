"""What was raised in another process, as two short texts, and as an exception again.

Knows: the package's errors. Does not know: who sends them.
"""

from __future__ import annotations

from .. import errors
from ..errors import StreamRVQError
from ..system.foreign_data import one_line

#: Characters of an error's text: with its name it fits what a pipe takes at once.
_LONGEST = 2000


def named(error: Exception) -> tuple[str, str]:
    """The name of an exception's class, and its text."""
    return type(error).__name__, one_line(error, _LONGEST)


def raised(name: str, text: str) -> Exception:
    """The exception that `named` was given, or one that says the same."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, StreamRVQError):
        return kind(text)
    return MemoryError(text) if name == "MemoryError" else RuntimeError(f"a worker process failed: {name}: {text}")
