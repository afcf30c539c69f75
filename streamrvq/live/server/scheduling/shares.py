"""How the work of a tick is divided between live streams and those that catch up.

While any stream is live, steps of the others are small, because a live hop may have to wait for one. So is what goes
into the pools for them: resampling takes time. They get a share of all work in any case: a fifth of what live streams
leave of the machine.

Knows: rows, hops, seconds. Does not know: streams, pools, which stream is live (pace.py).
"""

from __future__ import annotations

from ....geometry import Direction

#: While a stream is live, the others' steps have at most a step's rows × hops divided by these: for streams that are
#: behind real time, and for those that catch up. Each step costs something besides, so smaller ones compute less.
DUE_SHARE, CATCH_UP_SHARE = 2, 8
#: The others' least share of all work, while they wait, on a machine without live streams.
LEAST_SHARE = 0.2
#: A tick moves at most this many times the rows × hops of a step into a pool. While a stream is live, it moves work of
#: the others for at most this share of a hop's time. That ends after the lane that exceeded it. The time of live
#: streams does not count, so that at least one lane of the others is moved in each tick.
FILL_STEPS, FILL_SHARE = 2, 0.1


class Shares:
    """What may be done in a tick, and what was done.

    Args:
        row_hops: the most rows × hops of a step, for each direction.
        hop_seconds: seconds of audio in a hop.

    Attributes:
        row_hops: as given.
        due, catch_up: the most rows × hops of a step of those that are behind real time, and of those that catch up,
            for each direction; set by `begin_tick`.
    """

    def __init__(self, row_hops: dict[Direction, int], hop_seconds: float) -> None:
        self.row_hops, self._fill_seconds = row_hops, FILL_SHARE * hop_seconds
        self._least = LEAST_SHARE
        self._owed = 0.0  # of the others' least share: what they did not get, in steps of the most rows × hops
        self.begin_tick(live=False)

    def begin_tick(self, live: bool, left: float = 1.0) -> None:
        """Begin a tick.

        Args:
            live: whether any stream is.
            left: what live streams leave of the machine (`LiveLoad.left`).
        """
        self._live, self._least = live, LEAST_SHARE * left
        if not live:
            self._owed = max(self._owed, 0.0)
        self.due, self.catch_up = (
            {direction: max(1, most // share) if live else most for direction, most in self.row_hops.items()}
            for share in (DUE_SHARE, CATCH_UP_SHARE)
        )
        self._seconds_left = self._fill_seconds  # to fill the pools for the others
        self._left: dict[tuple[Direction, bool], float] = {}
        for direction, most in self.row_hops.items():
            self._left[direction, True] = FILL_STEPS * most
            self._left[direction, False] = FILL_STEPS * self.due[direction]

    def to_fill(self, direction: Direction, live: bool) -> float:
        """Hops that may go into the pool now, for a stream that is live or not; 0 or less: none."""
        if live or not self._live:
            return self._left[direction, live]
        return min(self._left[direction, live], self.due[direction]) if self._seconds_left > 0.0 else 0.0

    def filled(self, direction: Direction, live: bool, hops: float, seconds: float) -> None:
        """Count hops that went into the pool, and how long that took."""
        self._left[direction, live] -= hops
        if not live:
            self._seconds_left -= seconds

    def live_step(self, direction: Direction, row_hops: int) -> None:
        """Count a step of live streams."""
        self._owed = min(1.0, self._owed + row_hops / self.row_hops[direction] * self._least / (1.0 - self._least))

    @property
    def owed(self) -> bool:
        """Whether those that are not live get a step although live streams have work."""
        return self._owed >= 1.0 / CATCH_UP_SHARE

    def other_step(self, direction: Direction, row_hops: int) -> None:
        """Count a step of those that are not live.

        It may be more than what is owed: then the next ones wait for longer. Steps between live ones cost nothing.
        """
        left = self._owed - row_hops / self.row_hops[direction]
        self._owed = left if self.owed else max(left, min(self._owed, 0.0))

    def none_waits(self) -> None:
        """Forget what is owed: only live streams have work."""
        self._owed = min(self._owed, 0.0)
