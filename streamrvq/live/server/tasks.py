"""The two tasks of a connection: one reads, one writes. Either may end it, and both can be ended from outside.

Knows: asyncio's tasks, why they ended. Does not know: what they read and write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .metered import Metered

T = TypeVar("T")


class ReadingAndWriting:
    """The tasks of one connection.

    Args:
        spend, counts: of each of their steps, see `Metered`.
    """

    def __init__(self, spend: Callable[[float], None], counts: Callable[[], bool]) -> None:
        self._spend, self._counts = spend, counts
        self._reading: asyncio.Task[Any] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._reason: Exception | None = None

    def end(self, reason: Exception) -> None:
        """End both. Whoever waits for one of them gets ``reason``."""
        self._reason = reason
        for task in (self._reading, self._writing):
            if task is not None:
                task.cancel()

    def end_reading(self, reason: Exception) -> None:
        """End the one that reads, unless a reason was given before."""
        if self._reason is None:
            self._reason = reason
            if self._reading is not None:
                self._reading.cancel()

    def write(self, writing: Coroutine[Any, Any, None]) -> None:
        """Start the task that writes."""
        self._writing = self._task(writing, "write")

    async def read(self, reading: Coroutine[Any, Any, Any]) -> Any:
        """The result of ``reading``, in a task, or of the task that writes if that ends first."""
        task = self._reading = self._task(reading, "read")
        try:
            both = {task} if self._writing is None else {task, self._writing}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and self._writing is not None:
                return self._result(self._writing)
            return self._result(task)
        finally:
            self._reading = None
            task.cancel()
            await asyncio.wait((task,))
            del task  # see `_result`

    async def written(self) -> None:
        """Wait for the end of the task that writes."""
        assert self._writing is not None  # it was started
        await asyncio.wait((self._writing,))
        self._result(self._writing)

    async def stop_writing(self) -> None:
        """End the task that writes, and wait for it."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait((self._writing,))
            self._writing = None

    def _task(self, coroutine: Coroutine[Any, Any, T], does: str) -> asyncio.Task[T]:
        return asyncio.create_task(Metered(coroutine, self._spend, self._counts), name=f"streamrvq-{does}")

    def _result(self, task: asyncio.Task[T]) -> T:
        if task.cancelled() and self._reason is not None:
            raise self._reason
        try:
            return task.result()
        finally:
            del task  # its exception leads here: both would be garbage
