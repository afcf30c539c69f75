"""A sound device's sampling clock beside the computer's: which samples were lost, and how the two clocks drift apart.

The *lateness* of a block that ends with sample ``p`` (lost ones counted) is ``arrival − p / rate``. Buffers and a busy
processor can only make a block later, and only for a moment. So the lowest lateness of the last two seconds is the
true one, and anything above it is jitter. Three things change it permanently:

    lost samples    It jumps up by their duration. A rise of more than 50 ms above the lowest value is suspicious, but
                    may still be a backlog, which shrinks as it is worked off. Blocks are therefore *held* until one of
                    three things happens. The lateness is back: nothing was lost. Or it neither falls nor rises for
                    three eighths of a second, or 2 s have passed: what is left of the rise is a gap before the first
                    held block. While it rises, blocks are taken more slowly than they are recorded. This machine is too
                    busy then, and they are still on their way.
    an overflow     The device reports that it lost samples. Blocks are held as above, however small the rise is. Some
                    devices lose samples and report nothing, so a report is not needed for a gap. But it is believed:
                    at least one sample is missing then.
    a slow drift    Two quartz clocks differ by some 10 to 100 ppm, up to 0.2 ms in 2 s. That is never a gap. The drift
                    is the slope of each second's lowest lateness: the median over all pairs of seconds (Theil–Sen),
                    which a few bad seconds do not change.

Knows: counts and times that are passed in. Does not know: samples, sound devices, threads, the time of day.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque

import numpy as np

#: Seconds. A rise of more than this may be a gap.
JUMP = 0.05
#: Seconds. The lowest lateness is taken over the last WINDOW; blocks are held no longer than that.
WINDOW = 2.0
#: Seconds. The lateness is compared over three parts of this length: their lowest values. Two would not do: where a
#: backlog grows and is worked off at once, the lowest value may be the same on either side of the top.
PART = 0.125
# Seconds by which these differ where a backlog grows, or is being worked off.
_CHANGE = 0.005
# The drift is fitted to at most and at least this many seconds.
_LONGEST, _SHORTEST = 300, 10


@dataclasses.dataclass
class _Hold:
    """Blocks that are held back because samples may be missing before them. Times and lateness in seconds."""

    since: float
    begun: float  #: when this part began
    excess: float  #: the least rise of the lateness so far
    low: float  #: the least in this part
    before: tuple[float, float]  #: and in the two before, the last one first
    flagged: bool  #: the device reported an overflow


class DeviceClock:
    """The sampling clock of one capture at ``rate`` samples a second, observed block by block.

    Attributes:
        position: samples so far, lost ones counted.
        holding: the latest blocks are held back.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.position = rate, 0
        self._lows: deque[tuple[float, float]] = deque()  # (time, late), both ascending: the lowest is first
        self._hold: _Hold | None = None
        self._segment = 0  # the drift is measured within segments without a gap
        self._seconds: deque[tuple[float, float, int]] = deque(maxlen=_LONGEST)
        self._drift: tuple[float, float | None] = 0.0, None  # (the second that it was fitted up to, ppm)

    @property
    def holding(self) -> bool:
        return self._hold is not None

    @property
    def origin(self) -> float | None:
        """When a block ending with sample 0 would have arrived, estimated from the last two seconds; None at first."""
        return self._lows[0][1] if self._lows else None

    def add_block(self, samples: int, time: float, lost: int = 0, flagged: bool = False) -> int | None:
        """A block arrived.

        Args:
            samples: how many it has.
            time: of its arrival, seconds.
            lost: samples before it that are known to be missing.
            flagged: the device reported an overflow.

        Returns:
            None: hold the block. A number: release it and all held blocks; this many samples (mostly 0) are missing
            before the first of them.
        """
        first = not self._lows
        self.position += lost + samples
        late = time - self.position / self.rate
        if first:  # nothing can have been lost before the first block
            self._accept(time, late)
            return 0
        excess = late - self._lows[0][1]
        if self._hold is None:
            if excess <= JUMP and not flagged:
                self._accept(time, late)
                return 0
            self._hold = _Hold(time, time, excess, excess, (math.inf, -math.inf), flagged)
            return None
        hold = self._hold
        hold.flagged = hold.flagged or flagged
        hold.excess, hold.low = min(hold.excess, excess), min(hold.low, excess)
        if hold.excess <= JUMP and not hold.flagged:
            self._hold = None
            self._accept(time, late)
            return 0
        if time - hold.since < WINDOW:
            if time - hold.begun < PART:
                return None
            lows = hold.low, *hold.before
            same = max(lows) - min(lows) <= _CHANGE
            hold.begun, hold.low, hold.before = time, math.inf, lows[:2]
            if not same:
                return None
        return self._resolve(time)

    def finish(self) -> int:
        """The capture has ended: release the held blocks. Returns how many samples are missing before the first."""
        return 0 if self._hold is None else self._resolve(self._hold.since)

    def _resolve(self, time: float) -> int:
        assert self._hold is not None
        hold, self._hold = self._hold, None
        gap = 0
        if hold.flagged or hold.excess > JUMP:
            gap = max(1 if hold.flagged else 0, round(hold.excess * self.rate))
            self.position += gap
            self._segment += 1
        self._accept(time, self._lows[0][1] + hold.excess - gap / self.rate)
        return gap

    def _accept(self, time: float, late: float) -> None:
        while self._lows and self._lows[-1][1] >= late:
            self._lows.pop()
        self._lows.append((time, late))
        while self._lows[0][0] < time - WINDOW:
            self._lows.popleft()
        second = self._seconds[-1] if self._seconds else None
        if second is None or time - second[0] >= 1 or second[2] != self._segment:
            self._seconds.append((time, late, self._segment))
        elif late < second[1]:
            self._seconds[-1] = (second[0], late, self._segment)

    def drift_ppm(self) -> float | None:
        """How much faster the device's clock runs than the computer's, in ppm; None before 10 s without a gap."""
        if self._seconds and self._drift[0] != self._seconds[-1][0]:
            self._drift = self._seconds[-1][0], self._fit()
        return self._drift[1]

    def _fit(self) -> float | None:
        points = list(self._seconds)[:-1]  # the last second is not complete
        if len(points) < _SHORTEST:
            return None
        time, late, segment = (np.array(column) for column in zip(*points, strict=True))
        i, j = np.triu_indices(len(points), 1)
        # Jitter makes the slope over a short time meaningless: only pairs that lie apart count.
        pairs = (segment[i] == segment[j]) & (time[j] - time[i] >= _SHORTEST / 2)
        if not pairs.any() or (time[j] - time[i])[pairs].max() < _SHORTEST - 1:
            return None
        slopes = (late[j] - late[i])[pairs] / (time[j] - time[i])[pairs]
        return float(-1e6 * np.median(slopes))
