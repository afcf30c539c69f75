"""How far a stream is ahead of real time, and whether it may be computed before others.

Every stream has a right to real time. Beyond that it is computed when nobody with that right waits. So a client that
sends a file, or comes back after a break and sends what it kept, is not in the way of those that are live.

Knows: seconds of audio, the time (it is passed in). Does not know: streams, steps, who waits.
"""

from __future__ import annotations

#: A stream that fell behind real time may catch up with this much audio by right, if no more of it waits. Blocks of
#: that length and network delays fit. It is short, because who comes back after a break is behind by all of the break.
MAX_SECONDS_BEHIND = 0.125
#: A stream that was computed far ahead of real time waits for its right to more as if it were ahead by this much.
MAX_SECONDS_AHEAD = 0.625
#: Real time, with a margin: the client's clock may be faster than ours, and a stream that was late must become live
#: again. All streams together may take 0.8 of the machine (`warm_up`), so there is room for it.
REAL_TIME = 1.1
#: Who sends blocks of this length is live, even if the stream is ahead after a delay, by up to so much. More audio than
#: this waits only in streams that catch up, or whose blocks are longer.
LIVE_BLOCK_SECONDS, LIVE_SECONDS_AHEAD = 0.04, 0.5


class Pace:
    """The pace of one stream: a token bucket that time empties and computing fills.

    Args:
        hop_seconds: seconds of audio in a hop.
    """

    def __init__(self, hop_seconds: float) -> None:
        # Two hops above the lowest value, since time that passes there is lost.
        self._real_time_only = min(0.0, 2 * hop_seconds - MAX_SECONDS_BEHIND)
        self._ahead, self._at = 0.0, 0.0  # seconds ahead of real time, and when that was measured

    def computed(self, seconds: float, now: float) -> None:
        """Count seconds of audio that were computed."""
        self._ahead, self._at = min(MAX_SECONDS_AHEAD, self.seconds_ahead(now) + seconds), now

    def seconds_ahead(self, now: float) -> float:
        """Seconds of audio computed beyond real time, from −`MAX_SECONDS_BEHIND` to `MAX_SECONDS_AHEAD`.

        So a stream that paused has no priority for its whole pause.
        """
        return max(-MAX_SECONDS_BEHIND, self._ahead - (now - self._at) * REAL_TIME)

    def urgent(self, now: float, waiting: float) -> bool:
        """Whether a stream has a right to be computed now. ``waiting``: its seconds of audio besides the first hop."""
        ahead = self.seconds_ahead(now)
        if waiting <= LIVE_BLOCK_SECONDS:
            return ahead <= LIVE_SECONDS_AHEAD
        return ahead <= 0.0 if waiting <= MAX_SECONDS_BEHIND else ahead <= self._real_time_only
