"""One stream's way through the scheduler: its waiting work, its place in a pool.

A lane is used from two threads. The event loop adds work (`Lane.put`), says how many outputs there is room for
(`Lane.allow`), drops the lane (`Lane.drop`) and receives the outputs. The worker thread moves the work into the pool
(`Lane.fill_pool`) and takes the outputs from it. The two sides share a deque, whose ends are safe to use from one
thread each, and values that only one side writes.

Work goes into the pool in parts, however large it came. What is in the pool will be computed, so its outputs are
reserved: no input goes there before there is room for what it becomes.

All of a lane's state is written in this file. Its methods return what they did, and the scheduler records that.

Knows: the order of a stream's work, sample rates, room for outputs, how far a stream is ahead of real time
(pace.py). Does not know: other streams, when a step runs (scheduler.py), messages, what keeps the outputs (outbox.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ....audio.pcm import as_pcm
from ....errors import PoolError
from ....geometry import Direction
from ....streaming.batches import Output, StreamId
from ....streaming.pool import StreamPool
from .jobs import Ending, Inputs, Jobs, length
from .pace import Pace

#: Hops that a lane may have in the pool. The rest waits in the lane, where it is cheap to count and to discard.
MAX_POOL_HOPS = 32
#: Seconds without inputs after which a stream does not count as live any more.
LIVE_PAUSE = 1.0


@dataclasses.dataclass(frozen=True)
class Filled:
    """What `Lane.fill_pool` or `Lane.fail` did, and what it left."""

    opened: StreamId | None = None  #: the stream that the lane opened in its pool
    closed: StreamId | None = None  #: the stream that the lane dropped from its pool
    waits: bool = False  #: work is left that did not go into the pool
    blocked: bool = False  #: that work can continue only after a stream of the pool has ended, or outputs were sent
    hops: float = dataclasses.field(default=0.0, compare=False)  #: hops of inputs that went into the pool


class Lane:
    """One stream's queue of work and its place in a pool; made by `Scheduler.open`.

    Args:
        direction: ``"encode"``: samples in, codes out; ``"decode"``: codes in, samples out.
        pool: the pool of that direction.
        rates: the client's sample rate and the codec's, Hz.
        hop_seconds: seconds of audio in a hop.
        on_output: called on the event loop with an output, and whether it is the last one.
        on_failure: called on the event loop with the error that ended the lane. No output follows it.
        outputs: how many outputs a signal of so many inputs has. None: they are not counted, and `allow` is not used.
        opened: the time, in seconds.

    Attributes:
        direction, on_output, on_failure: as given.
        fed_at: when the newest input came, as `put` was told.
    """

    def __init__(
        self, direction: Direction, pool: StreamPool, rates: tuple[int, int], hop_seconds: float,
        on_output: Callable[[npt.NDArray[Any], bool], None], on_failure: Callable[[BaseException], None],
        outputs: Callable[[int], int] | None = None, opened: float = 0.0,
    ) -> None:  # fmt: skip
        self.direction, self.on_output, self.on_failure = direction, on_output, on_failure
        self._pool, self._rates, self._hop_seconds, self._outputs = pool, rates, hop_seconds, outputs
        self._inputs_per_hop = pool.unit * rates[0] / rates[1] if direction == "encode" else 1.0
        # ---- written by the event loop
        self.fed_at = 0.0
        self._fed = 0  # inputs put in, at the client's rate
        self._signal = False  # whether any of them came since the last "segment"
        self._segments = 0  # "segment"s put in
        self._allowed = 0  # outputs that there is room for, from the first one on
        self._dropped = False
        # ---- written by both, at one end each
        self._jobs = Jobs()
        # ---- written by the worker
        self._taken = 0  # inputs that went into the pool, at the client's rate
        self._segment_taken = 0  # of these, those of the present signal
        self._earlier = 0  # outputs of the signals before it
        self._segments_out = 0  # signals before it
        self._stream: StreamId | None = None  # in the pool
        self._failed = False
        self._ending: Literal["", "segment", "close"] = ""
        self._pace = Pace(hop_seconds, opened)

    # ------------------------------------------------------------- the event loop's side

    @property
    def queued(self) -> int:
        """Inputs that wait outside the pool: samples at the client's rate, or frames."""
        return self._fed - self._taken

    @property
    def queued_seconds(self) -> float:
        """The same in seconds of audio."""
        return self._seconds(self.queued)

    def _seconds(self, inputs: int) -> float:
        return inputs / self._rates[0] if self.direction == "encode" else inputs * self._hop_seconds

    @property
    def segments_seconds(self) -> float:
        """The least that the ends of signals still to come out cost: a hop each, in seconds of audio."""
        return (self._segments - self._segments_out) * self._hop_seconds

    def put(self, job: Inputs | Ending, now: float) -> None:
        """Add work.

        Args:
            job: checked inputs (samples ``[n]`` at the client's rate, float32 or int16, `Silence`, or codes
                ``[K, n]``); or ``"segment"``: the signal ends and a fresh one follows; or ``"close"``: the signal ends
                for good.
            now: the time; it counts for inputs only.
        """
        if isinstance(job, str):
            if job == "segment":
                if not self._signal:
                    return  # there is nothing to end
                self._segments += 1
                self._signal = False
        else:
            self._fed += length(job)
            self._pace.arrived(self._seconds(length(job)), now)
            self.fed_at, self._signal = now, True
            if self.direction == "decode" and isinstance(job, np.ndarray):
                job = job.astype(np.uint16)  # a quarter of the memory while they wait
        self._jobs.add(job)

    def allow(self, outputs: int) -> None:
        """Make room for outputs: ``outputs`` of them, counted from the first one. It may be fewer than before."""
        self._allowed = outputs

    def held(self, held: bool, now: float) -> None:
        """Say whether a client holds the stream. No client does while it is parked."""
        self._pace.held(held, now)

    def drop(self) -> None:
        """Give no more outputs. The next `fill_pool` discards the work and gives the slot back."""
        self._dropped = True
        self.on_output = self.on_failure = _ignore  # they lead to the stream, and that leads here

    # ------------------------------------------------------------- the worker's side

    def fill_pool(self, most: float = MAX_POOL_HOPS) -> Filled:
        """Move as much work into the pool as fits; open a stream there where none is open.

        A lane that was dropped, or has failed, discards its work and drops its stream instead. After an exception the
        caller must call `fail`.

        Args:
            most: hops to move. The last part may be a hop more.
        """
        if self._dropped or self._failed:
            return self._leave_pool()
        opened, moved = None, 0.0
        while self._jobs:
            if self._ending:  # the segment before must come out first
                return Filled(opened, waits=True, blocked=True, hops=moved)
            if self._stream is None:
                try:
                    opened = self._stream = self._pool.open(sample_rate=self._rates[0])
                except PoolError:  # every slot is taken, perhaps by closed streams that are owed outputs
                    return Filled(waits=True, blocked=True)
            ending = self._jobs.take_ending()
            if ending is not None:
                self._end_signal(ending, self._stream)
                continue
            hops = min(most - moved, MAX_POOL_HOPS - self._pool.waiting(self._stream) / self._pool.unit)
            if hops <= 0:
                return Filled(opened, waits=True, hops=moved)
            count = min(max(1, int(max(hops, 1.0) * self._inputs_per_hop)), self._inputs_allowed())
            if count < 1:
                return Filled(opened, waits=True, blocked=True, hops=moved)
            part = self._jobs.take(count)
            self._move(part, self._stream)
            moved += part.shape[-1] / self._inputs_per_hop
        return Filled(opened, hops=moved)

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
        self._pace.computed(hops * self._hop_seconds, now)
        data, last = output.data, output.final and self._ending == "close"
        if output.final:  # before anything below can fail: the pool has forgotten the stream
            if self._ending == "segment":
                self._earlier, self._segment_taken = self._owed, 0
                self._segments_out += 1
            self._stream, self._ending = None, ""
        if self.direction == "decode":
            data = np.asarray(data, np.float32)
        return data, last

    def seconds_ahead(self, now: float) -> float:
        """Seconds of audio computed beyond real time. The stream with the lowest value is served first."""
        return self._pace.seconds_ahead(now)

    def live(self, now: float) -> bool:
        """Whether the stream is computed before those that catch up: see `Pace.live`."""
        inside = self._pool.waiting(self._stream) / self._pool.unit if self._stream is not None else 0.0
        hops = inside + self.queued / self._inputs_per_hop
        return self._pace.live(now, (hops - 1.0) * self._hop_seconds)

    def due(self, now: float) -> bool:
        """Whether the stream is not live and comes before others that are not: see `Pace.due`."""
        return self._pace.due(now) and not self.live(now)

    def expected(self, now: float) -> bool:
        """Whether a live stream's hop is expected any moment."""
        return now - self.fed_at < LIVE_PAUSE and self._pace.in_real_time(now) and self.live(now)

    @property
    def _owed(self) -> int:
        """Outputs of everything that went into the pool, from the first one on."""
        return self._earlier + (0 if self._outputs is None else self._outputs(self._segment_taken))

    def _inputs_allowed(self) -> int:
        """Inputs whose outputs there is room for. Rounding may make that one output more."""
        if self._outputs is None:
            return MAX_POOL_HOPS * max(1, int(self._inputs_per_hop))
        room = self._allowed - self._owed
        a_hop = 1.0 if self.direction == "encode" else self._hop_seconds * self._rates[0]  # outputs of a hop
        return int(room / a_hop * self._inputs_per_hop)

    def _leave_pool(self) -> Filled:
        self._jobs.clear()
        closed, self._stream = self._stream, None
        if closed is not None:
            self._pool.drop(closed)
        return Filled(closed=closed)

    def _move(self, part: npt.NDArray[Any], stream: StreamId) -> None:
        self._taken += part.shape[-1]
        self._segment_taken += part.shape[-1]
        if self.direction == "decode":
            self._pool.feed(stream, part)  # adds the levels that are missing
        else:
            # Samples of 16 bits wait as they came, in half the memory.
            self._pool.feed_checked(stream, as_pcm(part) if part.dtype == np.int16 else part)

    def _end_signal(self, ending: Literal["segment", "close"], stream: StreamId) -> None:
        self._pool.close(stream)
        self._ending = ending


def _ignore(*_: object) -> None:
    """In place of the functions of a stream that was dropped."""
