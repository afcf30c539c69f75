"""Ctrl-C that waits for a safe place.

An interrupt is an exception between any two bytecodes. Code that is taking a lock then may never give it back:
`concurrent.futures.wait` takes the locks of all its futures, and an interrupt among them leaves its executor waiting
for ever.

Knows: SIGINT. Does not know: what is interrupted.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class DeferredInterrupts:
    """A context in which SIGINT only leaves a note, until `check` or the end of the context delivers it.

    It changes nothing outside the main thread, which is the only one that Python interrupts, nor where SIGINT is
    ignored or left to the system.
    """

    def __init__(self) -> None:
        self._handler: signal._HANDLER = None  # the one that was there before
        self._pending = False

    def __enter__(self) -> DeferredInterrupts:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self.check()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._pending = True

    def check(self) -> None:
        """Deliver an interrupt that came. Raises what its handler raises: `KeyboardInterrupt`, by default."""
        if self._pending and callable(self._handler):
            self._pending = False
            self._handler(signal.SIGINT, None)
