"""One thread beside the event loop, and calls to it that leave nothing behind when they are cancelled.

Knows: asyncio and one thread. Does not know: audio, files, codecs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from ..errors import StreamClosedError

P = ParamSpec("P")
T = TypeVar("T")


async def wait_through_cancellation(future: asyncio.Future[Any], pass_on: bool = False) -> None:
    """Wait until a future is done even when cancelled meanwhile; then raise that cancellation. Leaves the result alone.

    ``pass_on``: hand the cancellation to the future (a task, which may itself be waiting). Otherwise it is only waited
    for: a thread's call cannot be stopped, and would outlive whoever asked for it.
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
            future.exception()  # seen: nobody else will ask for it
        raise cancelled


class Worker:
    """One thread that runs calls in order. Its thread is gone when `close` returns."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._last: asyncio.Future[None] | None = None

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the thread. A call in flight outlives a cancellation of this; `close` waits for it.

        Raises:
            StreamClosedError: after `close`.
        """
        if self._last is not None:
            raise StreamClosedError("a call came to a worker that was closed; open its source or stream again")
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Let the calls before it end, run ``last``, end the thread. Again, or twice at once, waits for the same."""
        if self._last is None:
            self._last = asyncio.get_running_loop().run_in_executor(self._pool, last)
        try:
            await wait_through_cancellation(self._last)
            self._last.result()
        finally:
            self._pool.shutdown()  # the thread is idle: this takes microseconds
