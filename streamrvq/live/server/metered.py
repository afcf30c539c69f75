"""The event loop's time that a task takes, told while it takes it, where somebody wants to know.

Knows: the steps of a coroutine. Does not know: what they do, who counts their time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import thread_time
from typing import Any, TypeVar

#: Seconds that the task of a connection takes at least for the handshake, and for its end. They are counted when these
#: begin, so that few begin at once.
HANDSHAKE_SECONDS, END_SECONDS = 0.0005, 0.0003

T_co = TypeVar("T_co", covariant=True)


class Metered(Coroutine[Any, Any, T_co]):
    """A coroutine that tells what each of its steps took.

    Args:
        coroutine: what is run. It is closed with this one, also if it was never started.
        spend: called after each step that counts, with its CPU seconds.
        counts: asked before each step whether it does. Reading the clock of a thread takes microseconds.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, T_co], spend: Callable[[float], None], counts: Callable[[], bool]
    ) -> None:
        self._coroutine, self._spend, self._counts = coroutine, spend, counts

    def send(self, value: Any) -> Any:
        return self._counted(self._coroutine.send, value) if self._counts() else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._counted(self._coroutine.throw, *error) if self._counts() else self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Metered[T_co]:
        return self

    def __iter__(self) -> Metered[T_co]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def _counted(self, step: Callable[..., Any], *arguments: Any) -> Any:
        began = thread_time()
        try:
            return step(*arguments)
        finally:
            self._spend(thread_time() - began)
