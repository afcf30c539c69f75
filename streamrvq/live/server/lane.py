"""One stream's way through the scheduler: its waiting work, its resampler, its place in a pool.

A lane is used from two threads. The event loop adds work (`Lane.put`), drops the lane (`Lane.drop`) and receives the
outputs. The worker thread moves the work into the pool (`Lane.fill_pool`) and takes the outputs from it. The two sides
share a deque, whose ends are safe to use from one thread each, and values that only one side writes.

All of a lane's state is written in this file. Its methods return what they did, and the scheduler records that.

Knows: the order of a stream's work, sample rates, how far a stream is ahead of real time. Does not know: other streams,
when a step runs (scheduler.py), messages.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...audio.rates import Resampler
from ...errors import PoolError
from ...geometry import Direction
from ...streaming.batches import Output, StreamId
from ...streaming.pool import StreamPool

#: Hops that a lane may have in the pool. The rest waits in the lane, where it is cheap to count and to discard.
MAX_POOL_HOPS = 32
#: A stream that fell behind real time has priority for at most this much audio. Beyond that it counts like the others.
MAX_SECONDS_BEHIND = 1.0

_Job = npt.NDArray[Any] | Literal["segment", "close"]


@dataclasses.dataclass(frozen=True)
class Filled:
    """What `Lane.fill_pool` or `Lane.fail` did, and what it left."""

    opened: StreamId | None = None  #: the stream that the lane opened in its pool
    closed: StreamId | None = None  #: the stream that the lane dropped from its pool
    waits: bool = False  #: work is left that did not go into the pool
    blocked: bool = False  #: that work can continue only after a stream of the pool has ended


class Lane:
    """One stream's queue of work and its place in a pool; made by `Scheduler.open`.

    Args:
        direction: ``"encode"``: samples in, codes out; ``"decode"``: codes in, samples out.
        pool: the pool of that direction.
        rates: the client's sample rate and the codec's, Hz.
        hop_seconds: seconds of audio in a hop.
        on_output: called on the event loop with an output, and whether it is the last one.
        on_failure: called on the event loop with the error that ended the lane. No output follows it.

    Attributes:
        direction, on_output, on_failure: as given.
        fed_at: when the newest input came, as `put` was told.
    """

    def __init__(
        self, direction: Direction, pool: StreamPool, rates: tuple[int, int], hop_seconds: float,
        on_output: Callable[[npt.NDArray[Any], bool], None], on_failure: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self.direction, self.on_output, self.on_failure = direction, on_output, on_failure
        self._pool, self._rates, self._hop_seconds = pool, rates, hop_seconds
        # ---- written by the event loop
        self.fed_at = 0.0
        self._fed = 0  # inputs put in, at the client's rate
        self._dropped = False
        # ---- written by both, at one end each
        self._jobs: deque[_Job] = deque()
        # ---- written by the worker
        self._taken = 0  # inputs that went into the pool, at the client's rate
        self._stream: StreamId | None = None  # in the pool
        self._failed = False
        self._resampler: Resampler | None = None  # before the pool when encoding, after it when decoding
        self._ending: Literal["", "segment", "close"] = ""
        self._ahead, self._ahead_at = 0.0, 0.0  # seconds ahead of real time, and when that was measured

    # ------------------------------------------------------------- the event loop's side

    @property
    def queued(self) -> int:
        """Inputs that wait outside the pool: samples at the client's rate, or frames."""
        return self._fed - self._taken

    @property
    def queued_seconds(self) -> float:
        """The same in seconds of audio."""
        return self.queued / self._rates[0] if self.direction == "encode" else self.queued * self._hop_seconds

    def put(self, job: _Job, now: float) -> None:
        """Add work.

        Args:
            job: checked inputs (float32 ``[n]`` at the client's rate, or codes ``[K, n]``); or ``"segment"``: the
                signal ends and a fresh one follows; or ``"close"``: the signal ends for good.
            now: the time; it counts for inputs only.
        """
        if isinstance(job, np.ndarray):
            self._fed += job.shape[-1]
            self.fed_at = now
        self._jobs.append(job)

    def drop(self) -> None:
        """Give no more outputs. The next `fill_pool` discards the work and gives the slot back."""
        self._dropped = True

    # ------------------------------------------------------------- the worker's side

    def fill_pool(self) -> Filled:
        """Move as much work into the pool as fits; open a stream there where none is open.

        A lane that was dropped, or has failed, discards its work and drops its stream instead. After an exception the
        caller must call `fail`.
        """
        if self._dropped or self._failed:
            return self._leave_pool()
        opened = None
        while self._jobs:
            if self._ending:  # the segment before must come out first
                return Filled(opened, waits=True, blocked=True)
            if self._stream is None:
                try:
                    opened = self._stream = self._pool.open()
                except PoolError:  # every slot is taken, perhaps by streams that still drain
                    return Filled(waits=True, blocked=True)
                self._make_resampler()
            if self._pool.waiting(self._stream) >= MAX_POOL_HOPS * self._pool.unit:
                return Filled(opened, waits=True)
            self._move(self._jobs.popleft(), self._stream)
        return Filled(opened)

    def fail(self) -> Filled:
        """Accept that the lane cannot continue: discard its work and drop its stream. Calling it again is harmless."""
        self._failed = True
        return self._leave_pool()

    def process_output(self, output: Output, hops: int, now: float) -> tuple[npt.NDArray[Any], bool]:
        """Turn an output of the pool into what the client gets.

        Args:
            output: of this lane's stream.
            hops: hops in the step that made it.
            now: the time, in seconds.

        Returns:
            Codes ``[K, n]``, or samples float32 ``[n]`` at the client's rate; and whether that is the lane's last.
        """
        self._ahead, self._ahead_at = self.seconds_ahead(now) + hops * self._hop_seconds, now
        data, last = output.data, output.final and self._ending == "close"
        if output.final:  # before anything below can fail: the pool has forgotten the stream
            self._stream, self._ending = None, ""
        if self.direction == "decode":
            data = np.asarray(data, np.float32)
            if self._resampler is not None:
                data = self._resampler.push(data)
                if last:
                    data = np.concatenate([data, self._resampler.flush()])
        return data, last

    def seconds_ahead(self, now: float) -> float:
        """Seconds of audio computed beyond real time. The stream with the lowest value is served first.

        This is a token bucket: it falls with time, and never below −`MAX_SECONDS_BEHIND`. So a stream that paused has
        no priority for its whole pause.
        """
        return max(-MAX_SECONDS_BEHIND, self._ahead - (now - self._ahead_at))

    def _leave_pool(self) -> Filled:
        self._jobs.clear()
        closed, self._stream = self._stream, None
        if closed is not None:
            self._pool.drop(closed)
        return Filled(closed=closed)

    def _move(self, job: _Job, stream: StreamId) -> None:
        encode = self.direction == "encode"
        if isinstance(job, str):
            if encode and self._resampler is not None:
                self._pool.feed_checked(stream, self._resampler.flush())
            self._pool.close(stream)
            self._ending = job
            return
        self._taken += job.shape[-1]
        if not encode:
            self._pool.feed(stream, job)  # adds the levels that are missing
        else:
            self._pool.feed_checked(stream, job if self._resampler is None else self._resampler.push(job))

    def _make_resampler(self) -> None:
        outside, inside = self._rates
        if outside != inside:
            encode = self.direction == "encode"
            self._resampler = Resampler(outside, inside) if encode else Resampler(inside, outside)
