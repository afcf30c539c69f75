"""Statistics of a running tokenisation, ready to be printed.

Knows: counters and percentiles. Does not know: what is counted where.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable

import numpy as np

#: Percentiles are of this many latest frames (47 s at 86 frames a second).
WINDOW = 4096


@dataclasses.dataclass(frozen=True)
class TokenStats:
    """Statistics of a tokenisation so far. Latencies are in seconds, None before the first frame.

    Frames that came out only because the stream ended (`flush`) count in ``frames``, but not in the latencies: they did
    not wait for samples.
    """

    samples: int  #: received from the source, at its rate
    lost: int  #: samples in the source's gaps
    gaps: int
    frames: int  #: put on the queue
    audio_seconds: float  #: encoded, the zeros that fill gaps included
    pushes: int  #: calls of the codec's stream
    busy_seconds: float  #: spent in those calls, in the worker thread: resampling and encoding
    waiting_seconds: float  #: spent waiting while the queue was full
    #: From receiving the block that completed a frame until the frame is on the queue: thread, computing, full queue.
    latency_p50: float | None
    latency_p99: float | None
    #: From the capture of a frame's last sample until the frame is on the queue: filling the block, the delays of the
    #: resampler and the codec, and all of the above. None where the source has no ``start_time``.
    capture_latency_p50: float | None
    capture_latency_p99: float | None

    @property
    def position(self) -> int:
        """Samples of the source so far, lost ones included: those that the frames hold once it has ended."""
        return self.samples + self.lost

    @property
    def rtf(self) -> float:
        """Real-time factor: computing time ÷ audio time. Below 1 keeps up."""
        return self.busy_seconds / self.audio_seconds if self.audio_seconds else 0.0


@dataclasses.dataclass(frozen=True)
class MicrophoneStats:
    """Statistics of a `Microphone` so far."""

    samples: int  #: handed out
    lost: int  #: samples in gaps handed out
    gaps: int
    overruns: int  #: times that samples were lost because the ring was full
    overflows: int  #: times that the device reported lost samples
    waiting: int  #: samples captured and not yet taken
    blocks: int  #: from the device
    device_latency: float  #: seconds from the air to the callback, one block included, as PortAudio states it
    #: Seconds from the device's callback until a block is taken: the event loop, and the reader's work on the block
    #: before. None before the first block.
    handover_p50: float | None
    handover_p99: float | None
    drift_ppm: float | None  #: by how much the device's clock is faster; None before 10 s without a gap


class Meter:
    """The counters behind `TokenStats`, for one thread (the event loop's)."""

    def __init__(self) -> None:
        self.samples = self.lost = self.gaps = self.frames = self.pushes = 0
        self.audio_seconds = self.busy_seconds = self.waiting_seconds = 0.0
        self._latency: deque[float] = deque(maxlen=WINDOW)
        self._capture: deque[float] = deque(maxlen=WINDOW)

    def latency(self, seconds: float, count: int) -> None:
        """Count ``count`` frames that went to the queue ``seconds`` after their block was received."""
        self._latency.extend([seconds] * min(count, WINDOW))

    def capture_latency(self, seconds: Iterable[float]) -> None:
        """Count frames by the seconds from the capture of their last samples until they were on the queue."""
        self._capture.extend(seconds)

    def stats(self) -> TokenStats:
        """The statistics so far."""
        (p50, p99), (c50, c99) = percentiles(self._latency), percentiles(self._capture)
        return TokenStats(
            samples=self.samples, lost=self.lost, gaps=self.gaps, frames=self.frames, audio_seconds=self.audio_seconds,
            pushes=self.pushes, busy_seconds=self.busy_seconds, waiting_seconds=self.waiting_seconds, latency_p50=p50,
            latency_p99=p99, capture_latency_p50=c50, capture_latency_p99=c99,
        )  # fmt: skip


def percentiles(values: deque[float]) -> tuple[float, float] | tuple[None, None]:
    """The 50th and 99th percentiles; None, None of no values."""
    if not values:
        return None, None
    p50, p99 = np.percentile(np.fromiter(values, np.float64, len(values)), (50, 99))
    return float(p50), float(p99)
