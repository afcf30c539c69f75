"""How much of the machine live streams take, and what that leaves to others.

Whoever catches up, floods or has only just come gets a share of the time in any case. The shares are meant for a
machine without live streams. Where these take half of it, each share is halved. Otherwise all of them together could
exceed what is free, and live streams would come late.

Knows: seconds of the event loop and of steps, cores. Does not know: who took them, clocks (the time is passed in).
"""

from __future__ import annotations

import math

#: What is left to others however much live streams take: nobody waits for ever.
LEAST_LEFT = 0.25
#: Shorter periods say little: a tick may be longer.
SHORTEST_PERIOD = 0.25
#: The load is a mean over about so many seconds, so that a single step does not count as much.
MEAN_SECONDS = 1.0


class LiveLoad:
    """What live streams took lately, as a share of the machine.

    The event loop is one thread. Steps run in another one, with helpers where the engine has more threads. Of the
    loop's time all counts that is not known to be for others, what else a program does there included.

    Args:
        cores: those that this process may use.
        threads: those that a step uses.

    Attributes:
        left: what live streams leave to others, `LEAST_LEFT` to 1.
    """

    def __init__(self, cores: int = 1, threads: int = 1) -> None:
        self._cores, self._threads = cores, min(threads, cores)
        self._others = self._ticks = 0.0  # seconds since the last measurement
        self._load, self.left = 0.0, 1.0
        self._measured: tuple[float, float] | None = None

    def others(self, seconds: float) -> None:
        """Count CPU time of the event loop that was not for live streams."""
        self._others += seconds

    def tick(self, seconds: float) -> None:
        """Count what a tick took for live streams: CPU time of the worker, or the time that a device computed."""
        self._ticks += seconds

    def measure(self, now: float, loop_seconds: float) -> None:
        """Measure the load, if the last time was long enough ago; to be called regularly.

        Where no step was for live streams there is none: then all that the loop does is for others.

        Args:
            now: the time, in seconds.
            loop_seconds: CPU time of the event loop's thread so far.
        """
        before = self._measured
        if before is not None and now - before[0] < SHORTEST_PERIOD:
            return
        self._measured = now, loop_seconds
        others, ticks, self._others, self._ticks = self._others, self._ticks, 0.0, 0.0
        if before is None:
            return
        period = now - before[0]
        loop, ticks = max(0.0, loop_seconds - before[1] - others) / period, ticks / period
        # Either thread may be the first that has no more time, and so may all cores together.
        load = min(1.0, max(loop, ticks, (loop + ticks * self._threads) / self._cores)) if ticks else 0.0
        self._load += (load - self._load) * (1.0 - math.exp(-period / MEAN_SECONDS))
        self.left = max(LEAST_LEFT, 1.0 - self._load)
