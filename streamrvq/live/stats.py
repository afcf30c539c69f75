"""What a live tokenisation has done so far, in numbers that a demo or a metrics page can print as they are.

Knows: counters and percentiles. Does not know: who counts.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable

import numpy as np

#: Percentiles are over so many of the latest frames (45 s at 86 frames a second).
WINDOW = 4096


@dataclasses.dataclass(frozen=True)
class TokenStats:
    """A moment's figures. Latencies are in seconds, None before the first frame.

    Frames that only the end of a stream sets free (`flush`) count in ``frames`` but not in the latencies: they did not
    wait for samples.
    """

    samples: int  #: received from the source, at its rate
    lost: int  #: samples in the source's gaps
    gaps: int
    frames: int  #: put on the queue
    audio_seconds: float  #: encoded: samples received and zeros put in for gaps
    pushes: int  #: calls into the codec's stream
    busy_seconds: float  #: spent in those calls, in the worker thread: resampling and encoding
    waiting_seconds: float  #: spent waiting for room on a full queue
    #: From having received the block that completed a frame to the frame's being on the queue: thread, computing, room.
    latency_p50: float | None
    latency_p99: float | None
    #: From the capture of a frame's own last sample to its being on the queue: the block's gathering, the resampler's
    #: and the codec's delay and all of the above. None where the source has no ``start_time``.
    capture_latency_p50: float | None
    capture_latency_p99: float | None

    @property
    def rtf(self) -> float:
        """Real-time factor: computing time ÷ audio time. Below 1 keeps up."""
        return self.busy_seconds / self.audio_seconds if self.audio_seconds else 0.0


@dataclasses.dataclass(frozen=True)
class MicrophoneStats:
    """A moment's figures of a `Microphone`."""

    samples: int  #: handed out
    lost: int  #: samples in gaps handed out
    gaps: int
    overruns: int  #: times that the blocks were not taken in time and no room was left
    overflows: int  #: times that the device said it lost samples
    waiting: int  #: samples captured and not yet taken
    blocks: int  #: from the device
    device_latency: float  #: seconds from the air to us, a block's own length included; PortAudio's word for it
    #: From a block's coming out of the device to its being taken: the event loop, and whoever was busy with the one
    #: before. None before the first block.
    handover_p50: float | None
    handover_p99: float | None
    drift_ppm: float | None  #: by how much the device's clock is faster than ours; None before 10 s without a gap


class Meter:
    """The counters behind `TokenStats`. For one thread (the event loop's)."""

    def __init__(self) -> None:
        self.samples = self.lost = self.gaps = self.frames = self.pushes = 0
        self.audio_seconds = self.busy_seconds = self.waiting_seconds = 0.0
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._capture: deque[float] = deque(maxlen=WINDOW)

    def latency(self, seconds: float, count: int) -> None:
        """``count`` frames left together, ``seconds`` after what completed them had come."""
        self._latency.extend([seconds] * min(count, WINDOW))

    def capture_latency(self, seconds: Iterable[float]) -> None:
        """Frames left so long after their last samples were captured."""
        self._capture.extend(seconds)

    def stats(self) -> TokenStats:
        """The figures now."""
        (p50, p99), (c50, c99) = percentiles(self._latency), percentiles(self._capture)
        return TokenStats(
            samples=self.samples, lost=self.lost, gaps=self.gaps, frames=self.frames, audio_seconds=self.audio_seconds,
            pushes=self.pushes, busy_seconds=self.busy_seconds, waiting_seconds=self.waiting_seconds, latency_p50=p50,
            latency_p99=p99, capture_latency_p50=c50, capture_latency_p99=c99,
        )  # fmt: skip


def percentiles(values: deque[float]) -> tuple[float, float] | tuple[None, None]:
    """The 50th and the 99th; of nothing, None."""
    if not values:
        return None, None
    p50, p99 = np.percentile(np.fromiter(values, np.float64, len(values)), (50, 99))
    return float(p50), float(p99)
