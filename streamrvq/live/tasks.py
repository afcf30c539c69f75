"""How a task begins, is waited for, and ends what others wait for, whatever is cancelled meanwhile.

Knows: asyncio's cancellations. Does not know: what a task does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def begin(coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """A task like that of `asyncio.create_task`, whose coroutine begins even if it is cancelled before its first step.

    asyncio throws such a cancellation into a coroutine that has not begun. Nothing of it runs then, not even what a
    ``finally`` of it would put in order. Here the cancellation comes where the first step waits.
    """
    return asyncio.create_task(_Beginning(coroutine), name=name)


async def wait_through_cancellation(future: asyncio.Future[Any], pass_on: bool = False) -> None:
    """Wait until a future is done, even if this is cancelled meanwhile; then raise that cancellation.

    The future's own result or exception is not raised here.

    Args:
        future: a task, or a call in a thread. A thread's call cannot be stopped, so it must be waited for.
        pass_on: cancel the future too.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
            if pass_on:
                future.cancel()
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # mark it as retrieved, because no other code does
        raise cancelled


def put_at_once(queue: asyncio.Queue[T], item: T) -> None:
    """Put an item without waiting, so that whoever reads the queue does not hang. A full queue is emptied for it."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
    queue.put_nowait(item)


class QueueReader(Generic[T]):
    """Takes items off a queue for whoever asks, also for several at a time. The end comes once and reaches all of them.

    Args:
        queue: ended by ``end``.
        end: the last item.
    """

    def __init__(self, queue: asyncio.Queue[T], end: T) -> None:
        self._queue, self._end, self._waiting = queue, end, 0

    async def get(self) -> T:
        """The next item. Where others wait too, the end stays on the queue for them."""
        self._waiting += 1
        try:
            item = await self._queue.get()
        finally:
            self._waiting -= 1
        if item is self._end and self._waiting:
            put_at_once(self._queue, item)
        return item


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
