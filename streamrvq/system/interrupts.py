"""Ctrl-C and SIGTERM that wait for a safe place.

An interrupt is an exception between any two bytecodes. Code that is taking a lock then may never give it back:
`concurrent.futures.wait` takes the locks of all its futures, and an interrupt among them leaves its executor waiting
for ever.

Knows: SIGINT and SIGTERM. Does not know: what is interrupted.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

#: The exit codes of a process that SIGINT or SIGTERM ended.
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


#: Signals in a row that may come while handlers are given back.
_TRIES = 8


class DeferredInterrupts:
    """A context in which SIGINT and SIGTERM only leave a note, until `check` or the end of the context delivers it.

    SIGINT is delivered to the handler that was there before. So is SIGTERM; where it had none, delivery raises
    ``SystemExit(143)``. Nothing changes outside the main thread, which is the only one that Python interrupts, nor for
    a signal that is ignored, nor for a SIGINT that is left to the system.

    Args:
        second_at_once: deliver a second signal where it comes, in the middle of whatever is going on.

    Attributes:
        came: how many signals came.
    """

    def __init__(self, second_at_once: bool = False) -> None:
        self._second_at_once = second_at_once
        self._handlers: dict[int, signal._HANDLER] = {}  # those that were there before
        self._pending: list[int] = []
        self.came = 0

    @property
    def repeated(self) -> bool:
        """Whether more than one signal came: whoever sends them wants no more waiting."""
        return self.came > 1

    def __enter__(self) -> DeferredInterrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler) or (number == signal.SIGTERM and handler == signal.SIG_DFL):
                    self._handlers[number] = handler
            try:
                for taken in self._handlers:
                    signal.signal(taken, self._note)
            except BaseException:  # of a handler that was still there
                self._put_back()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()
        self.check()

    def _put_back(self) -> None:
        """Give all signals their handlers back. Raises what those raise that are back already, when all are."""
        raised: BaseException | None = None
        for _ in range(_TRIES):
            try:
                for number, handler in self._handlers.items():
                    signal.signal(number, handler)
                break
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending.append(number)
        self.came += 1
        if self._second_at_once and self.repeated:
            self._pending[:] = [number]  # a first of another kind would hide it
            self.check()

    def check(self) -> None:
        """Deliver an interrupt that came. Raises what its handler raises: `KeyboardInterrupt`, by default."""
        if self._pending:
            number = self._pending[0]
            self._pending.clear()
            handler = self._handlers[number]
            if callable(handler):
                handler(number, None)
            else:
                _terminated(number, None)


@contextmanager
def ordered_termination() -> Iterator[None]:
    """A context in which SIGTERM raises ``SystemExit(143)``, so that what was begun is put in order.

    Nothing changes outside the main thread, nor where SIGTERM has a handler or is ignored.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def termination_kept() -> Iterator[None]:
    """A context inside which a library may take SIGTERM: afterwards its handler is the one that was there before.

    Nothing changes outside the main thread, nor for a handler that is not Python's.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def ended_by_signals(loop: Any, end: Callable[[], None]) -> Iterator[None]:
    """A context in which SIGINT and SIGTERM call ``end``. After the first of either, a SIGINT ends the program.

    It does so as without this context: `asyncio.run` cancels its task. asyncio itself would leave a handler that raises
    `KeyboardInterrupt` in the middle of the event loop, and a device would not be closed.

    Args:
        loop: asyncio's event loop, which runs in this thread. It calls ``end`` when it comes to it.
        end: what ends the program in order.
    """
    before = signal.getsignal(signal.SIGINT)

    def leave(number: int) -> None:
        if loop.remove_signal_handler(number) and number == signal.SIGINT and before is not None:
            signal.signal(number, before)

    def came() -> None:
        leave(signal.SIGINT)
        end()

    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in numbers:
            loop.add_signal_handler(number, came)
        yield
    finally:
        for number in numbers:
            leave(number)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """A context in which SIGINT raises `KeyboardInterrupt` where it comes, in the thread of an event loop as well.

    asyncio only cancels the main task, and a call that blocks the thread goes on. Nothing changes outside the main
    thread, nor for a signal that is ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    ours = threading.current_thread() is threading.main_thread() and callable(before)
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def exit_at_once_on_interrupts() -> None:
    """From now on, SIGINT ends the process with code 130. For a command that was interrupted and is about to exit.

    Another interrupt would be an exception in the middle of Python's own end, which prints it. At its very end Python
    gives handlers back to the system, which would end the process by the signal: from then on it is ignored.
    """
    if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
