"""Exceptions that a C library between the raiser and the caller could not pass on. Python only reports them.

PyAV calls our reads and writes from C. A signal's handler may raise before the first line of such a function runs. PyAV
passes on each `Exception`; a KeyboardInterrupt is none, so FFmpeg sees the end of the file, and Python calls
`sys.unraisablehook`. From there it is taken, and raised when FFmpeg has returned.

Knows: the hook, threads. Does not know: PyAV, audio.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

_lost: dict[int, BaseException] = {}  #: by thread, the first that came
_before: Any = sys.__unraisablehook__


def _take(unraisable: Any) -> None:
    error = unraisable.exc_value
    if isinstance(error, BaseException) and not isinstance(error, Exception) and "pyio" in str(unraisable.object):
        _lost.setdefault(threading.get_ident(), error)
    else:
        _before(unraisable)


def watch() -> None:
    """Take what cannot be passed on from now on. To be called before each call that it may come from."""
    global _before
    if sys.unraisablehook is not _take:
        _before, sys.unraisablehook = sys.unraisablehook, _take


def check() -> None:
    """Raise what was taken in this thread."""
    error = _lost.pop(threading.get_ident(), None)
    if error is not None:
        raise error
