"""How much of the event loop's time some work may take, so that live streams come first.

Knows: seconds of work, seconds of time. Does not know: which work it is, clocks (the time is passed in).
"""

from __future__ import annotations


class LoopShare:
    """A share of time. Work may be done at once for a while; then it has to pause until its share has caught up.

    Args:
        share: seconds of work per second.
        burst: seconds of work that may be done at once.
        now: the time, in seconds.
    """

    def __init__(self, share: float, burst: float, now: float) -> None:
        self._share, self._burst, self._time, self._debt = share, burst, now, 0.0

    def spend(self, work: float, now: float) -> None:
        """Count work that was done.

        Args:
            work: seconds of it.
            now: the time, in seconds.
        """
        self._debt = max(0.0, self._debt - (now - self._time) * self._share) + work
        self._time = now

    def pause(self, now: float) -> float:
        """Seconds until more work may be done; 0.0: it may be done now."""
        debt = self._debt - (now - self._time) * self._share
        return max(0.0, (debt - self._burst) / self._share)
