"""One stream's way through the scheduler: what waits to be computed, its resamplers, its place in a pool.

A lane lives on two sides. The event loop puts work in (`put`), or wants no more (`dropped`), and is given what comes of
it; the worker thread pours the work into the pool and takes the outputs. Between them stands a deque, whose ends are
safe to use from one thread each, and two counters, each written by one side only.

Knows: the order of a stream's work, rates, how far a stream is ahead of real time. Does not know: other streams, when
a step runs (scheduler.py), messages.
"""

from __future__ import annotations

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

#: Hops that a lane may have in the pool; the rest waits here, where it is cheap to count and to forget.
POOL_HOPS = 32
#: How far a stream may fall behind real time and still be owed it: afterwards it has no better claim than others.
CLAIM_SECONDS = 1.0

_Job = npt.NDArray[Any] | Literal["segment", "close"]


class Lane:
    """Made by `Scheduler.open`.

    Args:
        direction: ``"encode"``: samples in, codes out; ``"decode"``: codes in, samples out.
        pool: of that direction.
        rates: of the samples outside and of the codec, Hz.
        hop_seconds: of audio in a hop.
        sink: called on the event loop with what has come out, and whether that was the last.
        failed: called on the event loop with what went wrong in a step; nothing comes after it.
    """

    def __init__(
        self, direction: Direction, pool: StreamPool, rates: tuple[int, int], hop_seconds: float,
        sink: Callable[[npt.NDArray[Any], bool], None], failed: Callable[[BaseException], None],
    ) -> None:  # fmt: skip
        self.direction, self.pool, self.sink, self.failed = direction, pool, sink, failed
        self._rates, self._hop_seconds = rates, hop_seconds
        # ---- the event loop's side
        self.fed = 0  #: inputs, at the rate outside
        self.fed_at = 0.0  #: when the newest of them came
        self.dropped = False  #: nothing more is wanted
        # ---- in between
        self._jobs: deque[_Job] = deque()
        # ---- the worker's side
        self.taken = 0  #: inputs poured
        self.stream: StreamId | None = None  #: in the pool
        self.broken = False  #: a step failed
        self.blocked = False  #: the last `fill_pool` found no free slot, or an end under way
        self._resampler: Resampler | None = None  #: before the pool when encoding, behind it when decoding
        self._ending: Literal["", "segment", "close"] = ""
        self._lead, self._seen = 0.0, 0.0

    # ------------------------------------------------------------- the event loop's side

    @property
    def held(self) -> int:
        """Inputs that wait outside the pool."""
        return self.fed - self.taken

    @property
    def held_seconds(self) -> float:
        """The same in seconds of audio."""
        return self.held / self._rates[0] if self.direction == "encode" else self.held * self._hop_seconds

    def put(self, job: _Job, now: float) -> None:
        """Checked inputs (float32 ``[n]`` at the rate outside, or codes ``[K, n]``); the end of a segment, behind which
        a fresh stream begins; the end of all."""
        if isinstance(job, np.ndarray):
            self.fed += job.shape[-1]
            self.fed_at = now
        self._jobs.append(job)

    # ------------------------------------------------------------- the worker's side

    def fill_pool(self) -> None:
        """Put as much as there is room for into the pool; take a slot if there is none yet, leave it if dropped."""
        if self.dropped or self.broken:
            self._jobs.clear()
            if self.stream is not None:
                self.pool.drop(self.stream)
                self.stream = None
            return
        self.blocked = False
        while self._jobs:
            if self._ending:
                self.blocked = True
                return
            if self.stream is None:
                try:
                    self.stream = self.pool.open()
                except PoolError:  # every slot is taken, perhaps by streams that drain
                    self.blocked = True
                    return
                self._begin()
            if self.pool.waiting(self.stream) >= POOL_HOPS * self.pool.unit:
                return
            self._pour(self.stream, self._jobs.popleft())

    def _pour(self, stream: StreamId, job: _Job) -> None:
        encode = self.direction == "encode"
        if isinstance(job, str):
            if encode and self._resampler is not None:
                self.pool.feed_checked(stream, self._resampler.flush())
            self.pool.close(stream)
            self._ending = job
            return
        self.taken += job.shape[-1]
        if not encode:
            self.pool.feed(stream, job)  # fills up missing levels
        else:
            self.pool.feed_checked(stream, job if self._resampler is None else self._resampler.push(job))

    def _begin(self) -> None:
        outside, inside = self._rates
        encode = self.direction == "encode"
        if outside != inside:
            self._resampler = Resampler(outside, inside) if encode else Resampler(inside, outside)

    @property
    def waits(self) -> bool:
        """Whether there is work that `fill_pool` could not put into the pool yet."""
        return bool(self._jobs)

    def take(self, output: Output, hops: int, now: float) -> tuple[npt.NDArray[Any], bool]:
        """An output of the pool as it goes out, and whether it is the lane's last."""
        self._lead = self.lead(now) + hops * self._hop_seconds
        self._seen = now
        data, last = output.data, output.final and self._ending == "close"
        if self.direction == "decode":
            data = np.asarray(data, np.float32)
            if self._resampler is not None:
                data = self._resampler.push(data)
                if last:
                    data = np.concatenate([data, self._resampler.flush()])
        if output.final:
            self.stream, self._ending = None, ""
        return data, last

    def lead(self, now: float) -> float:
        """Seconds of audio computed beyond real time; the lower it is, the sooner a stream's turn comes. A stream that
        paused has no claim to the pause (`CLAIM_SECONDS`): a token bucket."""
        return max(-CLAIM_SECONDS, self._lead - (now - self._seen))
