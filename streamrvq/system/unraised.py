"""Exceptions that a C library between the raiser and the caller could not pass on. Python only reports them.

PyAV and soundfile call our reads and writes from C. A signal's handler may raise before the first line of such a
function runs. PyAV passes on each `Exception`, and no KeyboardInterrupt; soundfile passes on nothing. Then the library
sees the end of the file, and Python calls `sys.unraisablehook`. From there it is taken, and raised when the library has
returned.

Knows: the hook, threads, how it names the functions of both. Does not know: what they do, audio.
"""

from __future__ import annotations

import atexit
import sys
import threading
from typing import Any

_lost: dict[int, BaseException] = {}  #: by thread, the first that came
_before: Any = sys.__unraisablehook__


def _take(unraisable: Any) -> None:
    error = unraisable.exc_value
    of_pyav = "pyio" in str(unraisable.object) and not isinstance(error, Exception)
    if isinstance(error, BaseException) and (of_pyav or _of_soundfile(unraisable)):
        _lost.setdefault(threading.get_ident(), error)
    else:
        _before(unraisable)


def _of_soundfile(unraisable: Any) -> bool:
    """Whether it came in a call of soundfile to a file of this package; others use soundfile, too."""
    if "SoundFile._init_virtual_io" not in str(unraisable.err_msg) or unraisable.exc_traceback is None:
        return False
    file = unraisable.exc_traceback.tb_frame.f_locals.get("file")
    return type(file).__module__.partition(".")[0] == __name__.partition(".")[0]


def watch() -> None:
    """Take what cannot be passed on from now on. To be called before each call that it may come from."""
    global _before
    if sys.unraisablehook is not _take:
        _before, sys.unraisablehook = sys.unraisablehook, _take


@atexit.register
def _leave() -> None:
    """The hook is what it was, for the last objects go when the names of this module are gone."""
    if sys.unraisablehook is _take:
        sys.unraisablehook = _before


def check() -> None:
    """Raise what was taken in this thread."""
    error = _lost.pop(threading.get_ident(), None)
    if error is not None:
        raise error
