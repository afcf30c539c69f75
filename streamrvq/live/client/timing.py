"""The times of a remote stream's frames, and how long each took to come back.

Knows: positions, gaps, times as numbers. Does not know: messages, sockets, asyncio.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque

import numpy as np
import numpy.typing as npt

from ..items import Frames, Gap
from ..stats import WINDOW, percentiles

#: Seconds, more than half a sample of any codec: a server rounds a length to whole samples of the codec's rate.
_ROUNDING = 0.0006
#: Samples, far more than what rounding makes of a frame's end at any position: it is a product of floats.
_PRODUCT = 1e-3


@dataclasses.dataclass(frozen=True)
class RemoteStats:
    """The figures at one moment. Latencies are in seconds, None before the first frame.

    A frame's latency runs from sending the last sample of its own hop to receiving its codes. It includes the network
    both ways, waiting and computing on the server, and the delays of the resampler and the codec. Frames whose last
    sample was never sent (padding at the end) do not count.
    """

    frames: int  #: received
    gaps: int
    lost: int  #: samples in the gaps
    lost_connections: int  #: connections that were lost, replaced or not
    latency_p50: float | None
    latency_p99: float | None


class FrameTiming:
    """The times and latencies of one stream's frames.

    Args:
        rate: of the samples sent, Hz.
        hop: seconds of a frame.
    """

    def __init__(self, rate: int, hop: float) -> None:
        self._rate, self._hop = rate, hop
        # A gap that is not filled begins a new signal: at this sample, with this frame.
        self._first_sample = self._first_frame = 0
        self._frames = self._gaps = self._lost = 0
        self._sent: deque[tuple[int, float]] = deque(maxlen=1 << 16)
        self._latency: deque[float] = deque(maxlen=WINDOW)

    def sent(self, position: int, now: float) -> None:
        """The samples before ``position`` were sent at ``now``."""
        self._sent.append((position, now))

    def gap(self, position: int, samples: int, filled: bool, next_frame: int) -> Gap:
        """The server has handled a gap. If it was not filled, frame ``next_frame`` begins after it."""
        self._gaps, self._lost = self._gaps + 1, self._lost + samples
        if not filled:
            self._first_sample, self._first_frame = position + samples, next_frame
        return Gap(position, samples, "filled with zeros" if filled else "a new stream begins behind it")

    def covered_samples(self, frames: int) -> int:
        """Samples that the first ``frames`` frames certainly cover, lost ones included."""
        return max(0, math.floor(self._time(frames) * self._rate - 1))

    def reached_samples(self, frames: int) -> int:
        """Samples that the first ``frames`` frames may cover at most, lost ones included: how far a marker echoed
        there may be."""
        return math.floor((self._time(frames) + _ROUNDING) * self._rate)

    def frames(self, index: int, codes: npt.NDArray[np.int64], now: float) -> Frames:
        """Codes ``[K, n]`` of the frames from ``index`` on were received at ``now``."""
        time = self._time(index)
        count = codes.shape[1]
        self._frames += count
        for i in range(1, count + 1):
            end = math.ceil((time + i * self._hop) * self._rate - _PRODUCT)
            while self._sent and self._sent[0][0] < end:
                self._sent.popleft()
            if not self._sent:
                break
            self._latency.append(now - self._sent[0][1])
        return Frames(index, time, codes)

    def _time(self, frame: int) -> float:
        """When a frame begins, in seconds from sample 0."""
        return self._first_sample / self._rate + (frame - self._first_frame) * self._hop

    def stats(self, lost_connections: int = 0) -> RemoteStats:
        """The figures now."""
        p50, p99 = percentiles(self._latency)
        return RemoteStats(self._frames, self._gaps, self._lost, lost_connections, p50, p99)
