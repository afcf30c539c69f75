"""Exceptions as signal handlers raise them, at every place of a call.

Knows: bytecodes, frames, timers. Does not know: what is interrupted, and what must hold afterwards.
"""

from __future__ import annotations

import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import streamrvq

PACKAGE = str(Path(streamrvq.__file__).parent)
#: What a handler may raise: it need not be SIGINT, nor an `Exception`.
EXCEPTIONS: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, TimeoutError)

#: Where only lines are places: what is computed there is local.
ARITHMETIC = (
    "engine/torch.py", "engine/torch_edges.py", "engine/torch_layers.py", "engine/torch_quantizer.py", "families",
    "geometry/",
)  # fmt: skip
#: Every place where the engine costs little, else every few; the places around its step are the same.
STRIDE = {"native": 1, "torch": 7, "cuda": 11}
#: Places after a call's last act, before its function returns: there what it gives is given and not received. No Python
#: looks for signals there; `Interrupt` looks everywhere.
LAST_PLACES = 8


class Interrupt:
    """Raises in the package's code at the n-th place from 0 on, once.

    A place is the beginning of a bytecode. In the files of ``by_line``, whose arithmetic changes nothing that lives on,
    it is the beginning of a line.

    Args:
        begin: a call of a function, and how many places lie before it, as an interrupt at an earlier place has found in
            its ``last_call``. Places are counted from there on, which spares the time of counting those before.
    """

    def __init__(
        self, n: int, exception: type[BaseException], by_line: tuple[str, ...] = (), begin: tuple[int, int] = (1, 0)
    ) -> None:
        self._place, self._exception = n, exception
        self._by_line = tuple(f"{PACKAGE}/{name}" for name in by_line)
        self._calls, (self._begin, self._places) = 0, begin
        self.last_call = begin
        self.where = ""

    def __enter__(self) -> Interrupt:
        sys.settrace(self._enter)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> bool:
        """Swallows the exception that it raised."""
        sys.settrace(None)
        return bool(self.where) and kind is self._exception

    def _enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        self._calls += 1
        frame.f_trace = self._step  # first: from Python 3.12 on, places of a frame that has none are not reported
        frame.f_trace_opcodes = frame.f_trace_lines = False
        if self._calls >= self._begin:
            self.last_call = self._calls, self._places
            self._count(frame)
        if self._calls == self._begin:  # from here on in the functions, too, that have called this one
            caller = frame.f_back
            while caller is not None:
                if caller.f_trace is not None:
                    self._count(caller)
                caller = caller.f_back
        return self._step

    def _count(self, frame: FrameType) -> None:
        lines = frame.f_code.co_filename.startswith(self._by_line) if self._by_line else False
        frame.f_trace_opcodes, frame.f_trace_lines = not lines, lines

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event in ("opcode", "line"):
            self._places += 1
            if self._places > self._place and not self.where:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name} +{frame.f_lasti}"
                raise self._exception("as from a signal handler")
        return self._step


def every_place(stride: int = 1, by_line: tuple[str, ...] = (), first: int = 0) -> Iterator[Interrupt]:
    """An `Interrupt` for every place of a call from ``first`` on, one after another, until the call ends."""
    n, begin = first, (1, 0)
    while True:
        interrupt = Interrupt(n, EXCEPTIONS[n // stride % len(EXCEPTIONS)], by_line, begin)
        yield interrupt
        if not interrupt.where:
            return
        n, begin = n + stride, interrupt.last_call


def after(real: Callable[..., Any], which: int, exception: type[BaseException] = KeyboardInterrupt) -> Any:
    """``real``, that raises just after its call number ``which``, from 1 on, has done its work."""
    count = 0

    def call(*args: Any, **settings: Any) -> Any:
        nonlocal count
        done = real(*args, **settings)
        count += 1
        if count == which:
            raise exception("as from a signal handler")
        return done

    return call


class Alarm:
    """SIGALRM raises an exception once between `set` and `stop`, or, between `storm` and `stop`, again and again; but
    only in code of the package, or in what that calls.

    Attributes:
        inside: how many it has raised.
        took: seconds from the last `set` or `storm` to the `stop` after it.
    """

    def __init__(self) -> None:
        self.inside = 0
        self.took = self._began = self._every = 0.0
        self._armed = self._storm = False
        self._old = signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if not self._armed:
            return
        at = frame
        while at is not None and not at.f_code.co_filename.startswith(PACKAGE):
            at = at.f_back
        self._armed = self._storm
        if at is None:
            return
        self.inside += 1
        raise EXCEPTIONS[self.inside % len(EXCEPTIONS)]("as from a signal handler")

    def set(self, seconds: float) -> None:
        """Ring once, so many seconds from now."""
        self._armed, self._began = True, time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def storm(self, seconds: float) -> None:
        """Ring every so many seconds."""
        self._armed = self._storm = True
        self._every, self._began = seconds, time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    def slow_down(self) -> None:
        """During a storm: ring half as often. What never ends between two signals would be interrupted for ever."""
        self._every *= 2
        signal.setitimer(signal.ITIMER_REAL, self._every, self._every)

    def stop(self) -> None:
        """Ring no more."""
        self._armed = self._storm = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.took = time.perf_counter() - self._began

    def close(self) -> None:
        """Give the signal back."""
        self.stop()
        signal.signal(signal.SIGALRM, self._old)
