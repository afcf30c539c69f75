"""Libraries' notes on stderr, kept off it for a moment. What went wrong, an error says in words of ours.

Knows: file descriptor 2, which C libraries write to. Does not know: which library, or what it says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_kept: list[int] = []  # the stderr of whoever is inside, or nothing


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """While it is entered, nothing that this process writes to descriptor 2 is seen. So keep it short.

    One thread at a time. If what is inside hangs, another one may call `end_quiet`.
    """
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    try:
        _begin()
    except OSError:  # there is no stderr, or no descriptor is left
        yield
        return
    try:
        yield
    finally:
        end_quiet()


def _begin() -> None:
    """Let nothing be seen. Raises `OSError`; then no descriptor is left open."""
    kept = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        os.close(kept)
        raise
    _kept.append(kept)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def end_quiet() -> None:
    """Let everything be seen again, whoever is inside."""
    with suppress(IndexError):
        kept = _kept.pop()
        os.dup2(kept, 2)
        os.close(kept)
