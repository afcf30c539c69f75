"""One thread beside the event loop. Cancelling a call to it leaves nothing behind.

Knows: asyncio and one thread. Does not know: audio, files, codecs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from ..errors import StreamClosedError
from .tasks import wait_through_cancellation

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """One thread that runs calls in order. The thread has ended when `close` returns.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._last: asyncio.Future[None] | None = None

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call in the thread. If this is cancelled the call still runs to its end; `close` waits for it.

        Raises:
            StreamClosedError: after `close`.
        """
        if self._last is not None:
            raise StreamClosedError("a call came to a worker that was closed; open its source or stream again")
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def close(self, last: Callable[[], None] = lambda: None) -> None:
        """Let earlier calls end, run ``last``, end the thread. A second call waits for the first."""
        if self._last is None:
            self._last = asyncio.get_running_loop().run_in_executor(self._pool, last)
        try:
            await wait_through_cancellation(self._last)
            self._last.result()
        finally:
            self._pool.shutdown()  # the thread is idle: this takes microseconds
