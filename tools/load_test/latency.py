"""How long codes took: from the sending of the last sample that enables a frame to the receipt of its codes.

Knows: a record's times. Does not know: how they came to be.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .record import Record

Floats = npt.NDArray[np.float64]
#: Frames that a stream needs inside and outside the time of faults for its percentiles to be compared.
_ENOUGH = 200


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of a codec: Hz, samples a frame, frames that codes come late by."""

    sample_rate: int
    hop: int
    delay: int

    @property
    def hop_seconds(self) -> float:
        """Of audio in a frame."""
        return self.hop / self.sample_rate


def latencies(record: Record, shape: Shape) -> tuple[Floats, Floats]:
    """When each frame came, and after how long. Frames that only the end of the stream completed are left out; so is
    none else. A resampler's delay is in it: it holds samples back."""
    came = np.repeat(np.frombuffer(record.times), np.frombuffer(record.counts, np.int64))
    frames = np.arange(len(came)) + 1 + shape.delay
    ends = np.ceil(frames * shape.hop * (record.rate / shape.sample_rate) - 1e-6).astype(np.int64)
    message = (ends - 1) // record.block
    there = message < len(record.sent)
    sent = np.frombuffer(record.sent)
    return came[there], came[there] - sent[message[there]]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Seconds; None where there is no frame."""

    frames: int
    p50: float | None
    p99: float | None
    most: float | None


def spread(values: Floats) -> Spread:
    """Of some latencies."""
    if not len(values):
        return Spread(0, None, None, None)
    p50, p99, most = (float(value) for value in np.percentile(values, (50, 99, 100)))
    return Spread(len(values), p50, p99, most)


@dataclasses.dataclass(frozen=True)
class Latency:
    """Of the streams that nothing was done to.

    Attributes:
        all, near, away: all frames; those that came within the window after a fault; the others.
        periods: of each period of the run.
        worst_move: the largest difference, in seconds, of a single stream's p99 near faults from its p99 away from
            them; None where no stream had enough of both.
    """

    all: Spread
    near: Spread
    away: Spread
    periods: list[Spread]
    worst_move: float | None

    @property
    def move(self) -> float | None:
        """Seconds by which faults moved the p99 of all."""
        return None if self.near.p99 is None or self.away.p99 is None else self.near.p99 - self.away.p99


def reckon(
    records: Sequence[Record], shape: Shape, faults: Sequence[float], window: float, began: float, ended: float,
    period: float,
) -> Latency:  # fmt: skip
    """Records of any kind: those that were stalled or deaf, and those behind a relay, are left out."""
    hits = np.sort(np.array(faults, np.float64))
    times, values, moves = [], [], []
    for record in records:
        if record.real or (record.hit is not None and record.hit[0] in ("stall", "deaf")):
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
