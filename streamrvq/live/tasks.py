"""Tasks whose coroutine begins, whatever comes before their first step.

asyncio throws a cancellation that comes so early into a coroutine that has not begun. Nothing of it runs then, not even
what a ``finally`` of it would put in order.

Knows: the first step of a coroutine. Does not know: what it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def begin(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """A task like that of `asyncio.create_task`. A cancellation before its first step comes where that waits."""
    return asyncio.create_task(_Beginning(coroutine), name=name)


class _Beginning(Coroutine[Any, Any, T_co]):
    def __init__(self, coroutine: Coroutine[Any, Any, T_co]) -> None:
        self._coroutine, self._begun = coroutine, False

    def send(self, value: Any) -> Any:
        self._begun = True
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if self._begun:
            return self._coroutine.throw(*error)
        task = asyncio.current_task()
        assert task is not None  # only a task throws before the first step: its cancellation
        task.uncancel()
        task.cancel()  # again: now it comes where the first step waits
        return self.send(None)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()
