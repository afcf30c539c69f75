"""A sound device's samples against our clock: what was lost on the way, and how far the two clocks drift apart.

A block that ends with sample ``p`` (lost ones counted) arrives ``late = arrival − p / rate``. Waiting in buffers and
for the processor only ever makes a block later, for a moment; so the lowest of the last two seconds' lateness is the
truth, and the rest is jitter. Three things move it for good:

    samples lost    up at once, by their number. More than 50 ms above the lowest of the last 2 s is suspicious. It may
                    still be a backlog, which shrinks as it is worked off: blocks are *held* until the lateness is back
                    (nothing was lost), or has not fallen for a quarter of a second, or 2 s have passed: then what is
                    left of it is the gap, and it lies before the first block held.
    an overflow     the device says that it lost samples: held likewise, however few they are. Its word is not needed
                    (some devices lose samples and say nothing), but it is believed: at least one is missing.
    a slow drift    two quartzes differ by some 10 to 100 ppm, up to 0.2 ms in 2 s: never a gap. It is the slope of the
                    lowest lateness of each second, as the median over all pairs of seconds (Theil–Sen), which a few bad
                    seconds do not move.

Knows: counts and times as they are told. Does not know: samples, sound devices, threads, what time it is.
"""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np

#: Seconds: a jump of more than so much is a gap; the lowest lateness is of so long; a backlog falls at least so often.
JUMP, WINDOW, SETTLE = 0.05, 2.0, 0.25
# Seconds by which lateness must fall to count as a backlog that is being worked off.
_FALL = 0.005
# Seconds that are kept for the drift, and that it takes at least.
_LONGEST, _SHORTEST = 300, 10


@dataclasses.dataclass
class _Hold:
    """A suspicion: since when, the least lateness above the lowest since then, and when that last fell to what."""

    since: float
    excess: float
    fell: float
    level: float
    flagged: bool


class CaptureClock:
    """One capture at ``rate`` samples a second, told block by block.

    Attributes:
        position: samples so far, lost ones counted.
        holding: the latest blocks wait for a verdict.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.position = rate, 0
        self._lows: deque[tuple[float, float]] = deque()  # (time, late), rising in both: the window's lowest is first
        self._hold: _Hold | None = None
        self._stretch = 0  # drift is measured within stretches without a gap
        self._seconds: deque[tuple[float, float, int]] = deque(maxlen=_LONGEST)
        self._drift: tuple[float, float | None] = 0.0, None  # as of which second

    @property
    def holding(self) -> bool:
        return self._hold is not None

    @property
    def origin(self) -> float | None:
        """When the block would have arrived that ends with sample 0, as the latest two seconds tell; None at first."""
        return self._lows[0][1] if self._lows else None

    def take(self, samples: int, time: float, lost: int = 0, flagged: bool = False) -> int | None:
        """A block of ``samples`` arrived at ``time``, after ``lost`` known to be missing; ``flagged``: overflow.

        Returns:
            None: hold it. Else release all that was held and this block, and before the first of them so many samples
            are missing (mostly 0).
        """
        first = not self._lows
        self.position += lost + samples
        late = time - self.position / self.rate
        if first:  # nothing comes before the start, so nothing was lost
            self._accept(time, late)
            return 0
        excess = late - self._lows[0][1]
        if self._hold is None:
            if excess <= JUMP and not flagged:
                self._accept(time, late)
                return 0
            self._hold = _Hold(time, excess, time, excess, flagged)
            return None
        hold = self._hold
        hold.flagged = hold.flagged or flagged
        if excess < hold.level - _FALL:
            hold.fell, hold.level = time, excess
        hold.excess = min(hold.excess, excess)
        if hold.excess <= JUMP and not hold.flagged:
            self._hold = None
            self._accept(time, late)
            return 0
        if time - hold.fell < SETTLE and time - hold.since < WINDOW:
            return None
        return self._resolve(time)

    def finish(self) -> int:
        """No more blocks come: release what is held; so many samples are missing before the first of them."""
        return 0 if self._hold is None else self._resolve(self._hold.since)

    def _resolve(self, time: float) -> int:
        assert self._hold is not None
        hold, self._hold = self._hold, None
        gap = 0
        if hold.flagged or hold.excess > JUMP:
            gap = max(1 if hold.flagged else 0, round(hold.excess * self.rate))
            self.position += gap
            self._stretch += 1
        self._accept(time, self._lows[0][1] + hold.excess - gap / self.rate)
        return gap

    def _accept(self, time: float, late: float) -> None:
        while self._lows and self._lows[-1][1] >= late:
            self._lows.pop()
        self._lows.append((time, late))
        while self._lows[0][0] < time - WINDOW:
            self._lows.popleft()
        second = self._seconds[-1] if self._seconds else None
        if second is None or time - second[0] >= 1 or second[2] != self._stretch:
            self._seconds.append((time, late, self._stretch))
        elif late < second[1]:
            self._seconds[-1] = (second[0], late, self._stretch)

    def drift_ppm(self) -> float | None:
        """How much faster the device's clock runs than ours, in millionths; None before 10 s without a gap."""
        if self._seconds and self._drift[0] != self._seconds[-1][0]:
            self._drift = self._seconds[-1][0], self._fit()
        return self._drift[1]

    def _fit(self) -> float | None:
        points = list(self._seconds)[:-1]  # the last second is not over
        if len(points) < _SHORTEST:
            return None
        time, late, stretch = (np.array(column) for column in zip(*points, strict=True))
        i, j = np.triu_indices(len(points), 1)
        # Over a short time jitter makes any slope: only pairs some way apart are asked.
        pairs = (stretch[i] == stretch[j]) & (time[j] - time[i] >= _SHORTEST / 2)
        if not pairs.any() or (time[j] - time[i])[pairs].max() < _SHORTEST - 1:
            return None
        slopes = (late[j] - late[i])[pairs] / (time[j] - time[i])[pairs]
        return float(-1e6 * np.median(slopes))
