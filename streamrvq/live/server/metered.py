"""The event loop's time that a task takes, told while it takes it.

Knows: the steps of a coroutine. Does not know: what they do, who counts their time.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import thread_time
from typing import Any, Generic, TypeVar

#: Seconds that the task of a connection takes at least for the handshake, and for its end. They are counted when these
#: begin, so that few begin at once.
HANDSHAKE_SECONDS, END_SECONDS = 0.0005, 0.0003

T = TypeVar("T")


async def metered(coroutine: Coroutine[Any, Any, T], spend: Callable[[float], None]) -> T:
    """What ``coroutine`` returns or raises. ``spend`` is called after each of its steps, with its CPU seconds."""
    return await _Steps(coroutine, spend)


class _Steps(Generic[T]):
    def __init__(self, coroutine: Coroutine[Any, Any, T], spend: Callable[[float], None]) -> None:
        self._coroutine, self._spend = coroutine, spend

    def __await__(self) -> Generator[Any, Any, T]:
        coroutine = self._coroutine
        step: Callable[[Any], Any] = coroutine.send
        value: Any = None
        while True:
            began = thread_time()
            try:
                awaited = step(value)
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._spend(thread_time() - began)
            try:
                step, value = coroutine.send, (yield awaited)
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                step, value = coroutine.throw, error
