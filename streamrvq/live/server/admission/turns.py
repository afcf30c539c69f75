"""Work that is done little by little, some in each turn of the event loop, so that live streams come in between.

Knows: pieces, their share of the loop's time. Does not know: what they do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import thread_time

from ..access import Allowance
from ..logs import log
from ..scheduling.live_load import LiveLoad

#: Seconds of work in a turn, roughly; it is one piece if that takes longer.
_TURN_SECONDS = 0.001
#: However little live streams leave, this much of a share stays: those who have a token wait for those who have none.
LEAST_PART = 0.5

#: A piece of work; returns seconds of loop time that will be spent later without `Turns.spend` being told.
Step = Callable[[], float]


class Turns:
    """Pieces of work in order, those of several owners by turns.

    Args:
        share: seconds of loop time that they may take; what they do take is counted.
        pauses: whether they wait where the share is used up. Else whoever causes them has to.
        load: told what they take; says what live streams leave to them. A share that pauses is that much smaller, but
            not below `LEAST_PART` of it. Where connections wait to be accepted, all wait in one line, and it stays.

    Attributes:
        hold: says how many seconds they have to wait now for another reason.
    """

    def __init__(self, share: Allowance, pauses: bool, load: LiveLoad | None = None) -> None:
        self._share, self._pauses, self._loop = share, pauses, asyncio.get_running_loop()
        self._load, self._least = load or LiveLoad(), LEAST_PART if pauses else 1.0
        self._waiting: dict[str, deque[Step]] = {}  # by owner, whoever is next first
        self._more, self._taken, self._closed, self._all = asyncio.Event(), False, False, False
        self.hold: Callable[[], float] = float  # 0.0

    def add(self, step: Step, owner: str = "") -> None:
        """Do a piece of work after those before it: now, if there were none in this round. Owners take turns."""
        if self._closed:
            self._waiting.setdefault(owner, deque()).append(step)
            self._do_all()
        elif self._taken or self._waiting or self._pause():
            self._waiting.setdefault(owner, deque()).append(step)
            self._more.set()
        else:
            self._taken = True
            self._loop.call_soon(setattr, self, "_taken", False)
            self._do(step)

    def spend(self, seconds: float) -> None:
        """Count seconds of loop time that tasks spent in consequence of pieces that were done. The load knows of it."""
        self._share.use(seconds / max(self._least, self._load.left), self._loop.time())

    def worked(self, seconds: float) -> None:
        """Count seconds of loop time that were spent, by pieces or beside them, but not by tasks."""
        self._load.others(seconds)
        self.spend(seconds)

    def close(self) -> None:
        """Do all that waits, and from now on everything at once: there are no live streams to wait for."""
        self._closed = True
        self._do_all()

    def _do_all(self) -> None:
        if self._all:  # a piece adds the next one: that comes after it, not within it
            return
        self._all = True
        while self._waiting:
            self._do(self._next())
        self._all = False

    async def run(self) -> None:
        """Do what waits, for ever."""
        while True:
            if not self._waiting:
                self._more.clear()
                await self._more.wait()
            await asyncio.sleep(self._pause())
            left = _TURN_SECONDS
            while self._waiting and left > 0 and not self._pause():
                left -= self._do(self._next())

    def _next(self) -> Step:
        owner = next(iter(self._waiting))
        steps = self._waiting.pop(owner)
        step = steps.popleft()
        if steps:
            self._waiting[owner] = steps  # last
        return step

    def _pause(self) -> float:
        # `hold` costs more, and is asked again when the share has caught up.
        return (self._share.pause(self._loop.time()) if self._pauses else 0.0) or max(self.hold(), 0.0)

    def _do(self, step: Step) -> float:
        """Do a piece of work. Returns its seconds of loop time."""
        began = thread_time()
        try:
            later = step()
        except Exception:
            later = 0.0
            log.exception("a piece of work failed")
        spent = thread_time() - began + later
        self.worked(spent)
        return spent
