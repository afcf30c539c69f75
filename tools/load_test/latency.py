"""How long codes took: from the sending of the last sample that a frame needs to the receipt of its codes.

Knows: the times in a record. Does not know: how they came about.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .record import Record

Floats = npt.NDArray[np.float64]
#: A stream needs this many frames near faults, and as many away from them, for its percentiles to be compared.
_ENOUGH = 200


@dataclasses.dataclass(frozen=True)
class Shape:
    """The timing of a codec: its rate in Hz, samples in a frame, and frames of delay."""

    sample_rate: int
    hop: int
    delay: int

    @property
    def hop_seconds(self) -> float:
        """Seconds of audio in a frame."""
        return self.hop / self.sample_rate


def latencies(record: Record, shape: Shape) -> tuple[Floats, Floats]:
    """When each frame came, and its latency.

    Only the frames that the end of the stream completed are left out. A resampler's delay counts, for it holds back
    samples.
    """
    came = np.repeat(np.frombuffer(record.times), np.frombuffer(record.counts, np.int64))
    frames = np.arange(len(came)) + 1 + shape.delay
    ends = np.ceil(frames * shape.hop * (record.rate / shape.sample_rate) - 1e-6).astype(np.int64)
    message = (ends - 1) // record.block
    there = message < len(record.sent)
    sent = np.frombuffer(record.sent)
    return came[there], came[there] - sent[message[there]]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Percentiles of latencies, in seconds. None if there are no frames."""

    frames: int
    p50: float | None
    p99: float | None
    most: float | None


def spread(values: Floats) -> Spread:
    """The percentiles of some latencies."""
    if not len(values):
        return Spread(0, None, None, None)
    p50, p99, most = (float(value) for value in np.percentile(values, (50, 99, 100)))
    return Spread(len(values), p50, p99, most)


@dataclasses.dataclass(frozen=True)
class Latency:
    """The latency of streams that had no fault themselves.

    Attributes:
        all: of all frames.
        near: of frames that came within the window after a fault.
        away: of all other frames.
        periods: of each period of the run.
        worst_move: the p99 near faults minus the p99 away from them, in seconds, of the stream with the largest
            difference. None if no stream had enough frames of both kinds.
    """

    all: Spread
    near: Spread
    away: Spread
    periods: list[Spread]
    worst_move: float | None

    @property
    def move(self) -> float | None:
        """How many seconds faults added to the p99 of all frames."""
        return None if self.near.p99 is None or self.away.p99 is None else self.near.p99 - self.away.p99


def measure_latency(
    records: Sequence[Record], shape: Shape, faults: Sequence[float], window: float, began: float, ended: float,
    period: float,
) -> Latency:  # fmt: skip
    """The latency in some records. Streams that stalled or stopped reading, and those behind a relay, are left out."""
    hits = np.sort(np.array(faults, np.float64))
    times, values, moves = [], [], []
    for record in records:
        if record.remote_stream or (record.fault is not None and record.fault[0] in ("stall", "deaf")):
            continue
        came, late = latencies(record, shape)
        near = _near(came, hits, window)
        times.append(came)
        values.append(late)
        if min(int(near.sum()), int((~near).sum())) >= _ENOUGH:
            inside, outside = (float(np.percentile(late[which], 99)) for which in (near, ~near))
            moves.append(inside - outside)
    came, late = (np.concatenate(parts) if parts else np.zeros(0) for parts in (times, values))
    near = _near(came, hits, window)
    count = max(1, math.ceil((ended - began) / period))
    return Latency(
        spread(late), spread(late[near]), spread(late[~near]),
        [spread(late[(came >= began + i * period) & (came < began + (i + 1) * period)]) for i in range(count)],
        max(moves, default=None),
    )  # fmt: skip


def _near(came: Floats, hits: Floats, window: float) -> npt.NDArray[np.bool_]:
    if not len(hits):
        return np.zeros(len(came), bool)
    before = np.searchsorted(hits, came, "right") - 1
    return (before >= 0) & (came - hits[np.maximum(before, 0)] < window)
