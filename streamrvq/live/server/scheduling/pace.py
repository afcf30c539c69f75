"""How far a stream is ahead of real time, and whether it is live, so that it is computed before others.

A live stream is computed at once. Others get what live streams leave, up to real time before anybody has more. So a
client that sends a file, or comes back after a break and sends what it kept, is not in the way of those that are live.

Knows: seconds of audio, the time (it is passed in). Does not know: streams, steps, who waits.
"""

from __future__ import annotations

#: A stream of which more audio than this waits catches up, unless all of it came in real time. Less than this is due
#: to blocks and delays of the network. A stream is never counted as further behind real time, so that a pause gives no
#: priority.
MAX_SECONDS_BEHIND = 0.125
#: A stream that was computed far ahead of real time waits for its right to more as if it were ahead by this much.
MAX_SECONDS_AHEAD = 0.625
#: Real time, with a margin: the client's clock may be faster than ours, and a stream that was late must become live
#: again. All streams together may take 0.8 of the machine (`warm_up`), so there is room for it.
REAL_TIME = 1.1
#: A stream of blocks of this length is live, even if it is ahead after a delay, by up to so much. More audio than
#: this waits only in streams that catch up, or whose blocks are longer.
LIVE_BLOCK_SECONDS, LIVE_SECONDS_AHEAD = 0.04, 0.5
#: That margin is earned: this much of it for each second since the stream was opened. Otherwise a client that
#: opens one stream after another would have it each time.
MARGIN_PER_SECOND = 0.1
#: Audio comes in real time while it is ahead of it by no more than this. After more came at once, that has to hold for
#: so many seconds before it counts as in real time again.
ARRIVAL_SECONDS_AHEAD, BURST_SECONDS = 0.125, 5.0


class Pace:
    """The pace of one stream: token buckets that time empties, and computing and arrivals fill.

    Arrivals are told by one thread, and what was computed by another one, which also asks.

    Args:
        hop_seconds: seconds of audio in a hop.
        opened: when the stream was opened, in seconds.
    """

    def __init__(self, hop_seconds: float, opened: float) -> None:
        self._opened = opened
        # Two hops above the lowest value, since time that passes there is lost.
        self._real_time_only = min(0.0, 2 * hop_seconds - MAX_SECONDS_BEHIND)
        self._parked = False
        # Seconds ahead of real time, and when that was measured.
        self._computed = self._arrived = (0.0, opened)
        self._burst_until = opened

    def arrived(self, seconds: float, now: float) -> None:
        """Count seconds of audio that came."""
        ahead = _ahead(self._arrived, now) + seconds
        self._arrived = min(MAX_SECONDS_AHEAD, ahead), now
        if ahead > ARRIVAL_SECONDS_AHEAD:
            self._burst_until = now + BURST_SECONDS

    def held(self, held: bool, now: float) -> None:
        """Say whether a client waits for the outputs. One that comes back sends what it kept, as fast as it can."""
        self._parked = not held
        if held:
            self._burst_until = now + BURST_SECONDS

    def in_real_time(self, now: float) -> bool:
        """Whether audio comes in real time, and in small blocks."""
        return now >= self._burst_until

    def computed(self, seconds: float, now: float) -> None:
        """Count seconds of audio that were computed."""
        self._computed = min(MAX_SECONDS_AHEAD, self.seconds_ahead(now) + seconds), now

    def seconds_ahead(self, now: float) -> float:
        """Seconds of audio computed beyond real time, from −`MAX_SECONDS_BEHIND` to `MAX_SECONDS_AHEAD`.

        So a stream that paused has no priority for its whole pause.
        """
        return _ahead(self._computed, now)

    def live(self, now: float, waiting: float) -> bool:
        """Whether a stream is computed before all that are not live.

        Args:
            now: the time, in seconds.
            waiting: its seconds of audio that wait besides the first hop.
        """
        ahead = self.seconds_ahead(now)
        if waiting <= LIVE_BLOCK_SECONDS:
            return ahead <= min(LIVE_SECONDS_AHEAD, (now - self._opened) * MARGIN_PER_SECOND)
        if waiting <= MAX_SECONDS_BEHIND:
            return ahead <= 0.0
        return self.in_real_time(now)  # it waits for us, who are late

    def due(self, now: float) -> bool:
        """Whether a stream that is not live comes before the others. It catches up, or sends large blocks."""
        return not self._parked and self.seconds_ahead(now) <= self._real_time_only


def _ahead(measured: tuple[float, float], now: float) -> float:
    ahead, at = measured
    return max(-MAX_SECONDS_BEHIND, ahead - (now - at) * REAL_TIME)
