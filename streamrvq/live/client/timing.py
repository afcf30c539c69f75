"""What a client can tell of the frames it gets: their times, and how long they took to come back.

Knows: positions, gaps, clocks as numbers. Does not know: messages, sockets, asyncio.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque

import numpy as np
import numpy.typing as npt

from ..items import Frames, Gap
from ..stats import WINDOW, percentiles


@dataclasses.dataclass(frozen=True)
class RemoteStats:
    """A moment's figures. Latencies are in seconds, None before the first frame.

    A frame's latency runs from the sending of the last sample of its own hop to the receipt of its codes: network both
    ways, the server's waiting and computing, the resampler's and the codec's delay. Frames whose last sample was never
    sent (the end, padded) do not count.
    """

    frames: int  #: received
    gaps: int
    lost: int  #: samples in the gaps
    lost_connections: int  #: that were replaced, or could not be
    latency_p50: float | None
    latency_p99: float | None


class FrameTiming:
    """One stream's clock on the client's side.

    Args:
        rate: of the samples sent, Hz.
        hop: seconds of a frame.
    """

    def __init__(self, rate: int, hop: float) -> None:
        self._rate, self._hop = rate, hop
        self._start = self._first = 0  # where the present stream began: sample, frame
        self._frames = self._gaps = self._lost = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=1 << 16)
        self._latency: deque[float] = deque(maxlen=WINDOW)

    def sent(self, position: int, now: float) -> None:
        """The samples before ``position`` have been sent."""
        self._sent.append((position, now))

    def gap(self, position: int, samples: int, filled: bool, next_frame: int) -> Gap:
        """The server has taken up a gap; if not filled, frame ``next_frame`` begins behind it."""
        self._gaps, self._lost = self._gaps + 1, self._lost + samples
        if not filled:
            self._start, self._first = position + samples, next_frame
        return Gap(position, samples, "filled with zeros" if filled else "a new stream begins behind it")

    def heard(self, frames: int) -> int:
        """Samples that are surely in the first ``frames`` frames, lost ones counted."""
        return max(0, math.floor((self._start / self._rate + (frames - self._first) * self._hop) * self._rate - 1))

    def frames(self, index: int, codes: npt.NDArray[np.int64], now: float) -> Frames:
        """Codes have come."""
        time = self._start / self._rate + (index - self._first) * self._hop
        count = codes.shape[1]
        self._frames += count
        for i in range(1, count + 1):
            end = math.ceil((time + i * self._hop) * self._rate - 1e-6)
            while self._sent and self._sent[0][0] < end:
                self._sent.popleft()
            if not self._sent:
                break
            self._latency.append(now - self._sent[0][1])
        return Frames(index, time, codes)

    def stats(self, lost_connections: int = 0) -> RemoteStats:
        """The figures now."""
        p50, p99 = percentiles(self._latency)
        return RemoteStats(self._frames, self._gaps, self._lost, lost_connections, p50, p99)
