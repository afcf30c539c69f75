"""One input for one target, judged: was what came out a result, one of our errors, or a fault?

Knows: what a reader may do. Does not know: formats, atheris, Hypothesis.
"""

from __future__ import annotations

import dataclasses
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from streamrvq import errors
from streamrvq.errors import StreamRVQError

from .target import Target

_PACKAGE = f"{Path(errors.__file__).parent}/"

#: The most that the memory of a process may grow while it reads small hostile files, in bytes.
MOST_MEMORY = 200 << 20
#: Seconds that one input may take. No right one of this size takes more than a few ms.
MOST_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Fault:
    """What went wrong with an input.

    Attributes:
        kind: "traceback", "message", "hang" or "memory".
        what: a sentence; equal for inputs that fail in the same way and place.
    """

    kind: str
    what: str


class _Hang(BaseException):
    """Raised when an input's time is over. Not an `Exception`: a reader would turn it into its own error."""


def fault_of(target: Target, data: bytes, seconds: float = MOST_SECONDS) -> Fault | None:
    """Let ``target`` read ``data``. None: it was taken, or refused with one of our errors in one line.

    Args:
        target: the reader.
        data: what it reads.
        seconds: that it may take; 0 for as long as it likes.
    """
    before = peak_memory()
    try:
        with _at_most(seconds):
            target.read(data)
    except StreamRVQError as error:
        return _message_fault(error) or _memory_fault(before)
    except _Hang as error:
        return Fault("hang", f"it took more than {seconds:g} s, {_place(error)}")
    except Exception as error:
        return Fault("traceback", f"{type(error).__name__} {_place(error)}")
    return _memory_fault(before)


def _memory_fault(before: int) -> Fault | None:
    grown = peak_memory() - before
    if grown <= MOST_MEMORY:
        return None
    return Fault("memory", f"one input made the process grow by more than {MOST_MEMORY >> 20} MiB")


def _message_fault(error: StreamRVQError) -> Fault | None:
    try:
        text = str(error)
        text.encode()
    except Exception as failure:
        return Fault("message", f"the message of {type(error).__name__} {_place(error)}: {type(failure).__name__}")
    if not text.isprintable() or len(text) > 2000:
        return Fault("message", f"the message of {type(error).__name__} {_place(error)} is not one printable line")
    return None


def _place(error: BaseException) -> str:
    """The innermost line of the package that the exception came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(_PACKAGE)]
    if not frames:
        return "outside of the package"
    return f"at {frames[-1].filename.removeprefix(_PACKAGE)}:{frames[-1].lineno}"


def peak_memory() -> int:
    """The most memory that this process has had so far, or since `forget_peak`, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> None:
    """Let `peak_memory` count from the present memory, where the system can: on Linux."""
    with suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise `_Hang` inside after ``seconds``. Off the main thread, where no signal arrives, there is no limit."""
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise _Hang

    handler = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
