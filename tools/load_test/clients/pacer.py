"""Real-time pace for many clients: each message is sent when its last sample would have been recorded.

There is one timer for all clients. How late it fires is recorded, so that a load that cannot keep pace shows it.

Knows: due times. Does not know: what is sent.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from array import array
from collections.abc import Callable

#: Sends the next message, given the time. Returns whether there is another.
Step = Callable[[float], bool]


class Pacer:
    """The timer of all clients: it calls the step of each when its next message is due.

    Attributes:
        late: for each call, the seconds by which it came late.
    """

    def __init__(self) -> None:
        self._due: list[tuple[float, int, float, Step]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.late: array[float] = array("d")

    def add(self, first: float, period: float, step: Step) -> None:
        """Call ``step`` at ``first`` (of `time.perf_counter`) and every ``period`` seconds, until it returns False."""
        self._count += 1
        heapq.heappush(self._due, (first, self._count, period, step))
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._due:
            wait = self._due[0][0] - time.perf_counter()
            self._timer = self._loop.call_later(max(0.0, wait), self._tick)

    def _tick(self) -> None:
        while self._due:
            now = time.perf_counter()
            due, number, period, step = self._due[0]
            if due > now:
                break
            self.late.append(now - due)
            if step(now):
                heapq.heapreplace(self._due, (due + period, number, period, step))
            else:
                heapq.heappop(self._due)
        self._arm()

    def close(self) -> None:
        """Call nothing any more."""
        self._due.clear()
        self._arm()
