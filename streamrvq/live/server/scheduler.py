"""Many streams, one thread: gather who has a hop, compute one batched step, hand out what came of it.

    scheduler = Scheduler(codec, worker, slots=64)
    running = asyncio.create_task(scheduler.run())
    lane = scheduler.open("encode", 48_000, sink, failed)
    scheduler.feed(lane, pcm) …, scheduler.close(lane)

A tick is one call in the worker thread: pour what has come into the pools, one step of each, take the outputs. While it
runs the next streams gather, so under load steps fill by themselves; where the thread is idle, the first stream to come
waits a *gather window* for the others, unless nobody else is there.

A step's rows times hops are bounded by time: as many as compute within one hop (warmup.py). So a stream that sends a
file cannot keep the thread from live ones for longer. Where more streams have a hop than fit, the one furthest behind
real time goes first (`Lane.lead`).

Knows: ticks, fairness, two pools. Does not know: sockets, messages, whose the lanes are.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ...errors import InputError
from ...geometry import Direction
from ...streaming.batches import StreamId
from ..worker import Worker
from .lane import Lane

if TYPE_CHECKING:
    from ...codec import Codec

log = logging.getLogger("streamrvq.server")


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step was, for whoever keeps figures."""

    direction: Direction
    rows: int
    hops: int
    seconds: float


_Outcome = tuple[Lane, npt.NDArray[Any] | None, bool, BaseException | None]


class Scheduler:
    """Args:
    codec: whose engine computes.
    worker: the thread that it computes in.
    slots: streams of each direction that may be open at once.
    row_hops: rows × hops of a step at most, for each direction (`warm`).
    gather: seconds to wait for others.
    observe: called on the event loop after each step.
    observe_latency: called there with seconds from the newest input of a stream to what it completed.
    """

    def __init__(
        self, codec: Codec, worker: Worker, slots: int, row_hops: dict[Direction, int], gather: float = 0.002,
        observe: Callable[[Step], None] = lambda step: None,
        observe_latency: Callable[[float], None] = lambda seconds: None,
    ) -> None:  # fmt: skip
        if gather < 0:
            raise InputError(f"gather is {gather}; wanted seconds, 0 or more")
        self._codec, self._worker, self._gather, self._observe = codec, worker, gather, observe
        self._row_hops, self._observe_latency = row_hops, observe_latency
        self._pools = {direction: codec.pool(slots, direction, most) for direction, most in row_hops.items()}
        self._hop_seconds = codec.hop_length / codec.sample_rate
        # ---- the event loop's side
        self._lanes: set[Lane] = set()
        self._fresh: dict[Lane, None] = {}
        self._woken = asyncio.Event()
        # ---- the worker's side
        self._waiting: dict[Lane, None] = {}
        self._owners: dict[Direction, dict[StreamId, Lane]] = {"encode": {}, "decode": {}}

    # ------------------------------------------------------------- the event loop's side

    def open(
        self, direction: Direction, sample_rate: int, sink: Callable[[npt.NDArray[Any], bool], None],
        failed: Callable[[BaseException], None],
    ) -> Lane:  # fmt: skip
        """A lane for one stream, whose samples have ``sample_rate``. It ends with its last output, or by `drop`."""
        rates = (sample_rate, self._codec.sample_rate)
        lane = Lane(direction, self._pools[direction], rates, self._hop_seconds, sink, failed)
        self._lanes.add(lane)
        return lane

    @property
    def queued(self) -> float:
        """Seconds of audio that wait outside the pools, of all streams together."""
        return round(sum(lane.held_seconds for lane in self._lanes), 3)

    def feed(self, lane: Lane, data: npt.NDArray[Any]) -> None:
        """Checked inputs: samples float32 ``[n]`` at the lane's rate, or codes ``[K, n]``."""
        lane.put(data, time.monotonic())
        self._wake(lane)

    def segment(self, lane: Lane) -> None:
        """The signal ends here, and another begins: all that is owed comes, and what is fed next is a fresh stream."""
        lane.put("segment", 0.0)
        self._wake(lane)

    def close(self, lane: Lane) -> None:
        """The end: all that is owed comes, the last of it marked so."""
        lane.put("close", 0.0)
        self._wake(lane)

    def drop(self, lane: Lane) -> None:
        """Forget a lane at once; nothing more comes of it. Again is harmless."""
        if not lane.dropped:
            lane.dropped = True
            self._lanes.discard(lane)
            self._wake(lane)

    def _wake(self, lane: Lane) -> None:
        self._fresh[lane] = None
        self._woken.set()

    async def run(self) -> None:
        """The task: ticks for ever."""
        while True:
            await self._woken.wait()
            if self._gather and len(self._fresh) < len(self._lanes):
                await asyncio.sleep(self._gather)
            more = True
            while more:
                fresh, self._fresh = self._fresh, {}
                self._woken.clear()
                outcomes, steps, more = await self._worker.run(self._tick, fresh)
                for lane, data, last, error in outcomes:
                    self._hand_out(lane, data, last, error)
                for step in steps:
                    self._observe(step)

    def _hand_out(self, lane: Lane, data: npt.NDArray[Any] | None, last: bool, error: BaseException | None) -> None:
        if lane.dropped:
            return
        if last or error is not None:
            lane.dropped = True
            self._lanes.discard(lane)
        try:
            if error is not None:
                lane.failed(error)
            elif data is not None:
                lane.sink(data, last)
                if data.shape[-1] and not lane.held:
                    self._observe_latency(time.monotonic() - lane.fed_at)
        except Exception as failure:  # of one stream; the others go on
            log.exception("handing out failed")
            self.drop(lane)
            lane.failed(failure)

    # ------------------------------------------------------------- the worker's side

    def _tick(self, fresh: dict[Lane, None]) -> tuple[list[_Outcome], list[Step], bool]:
        outcomes: list[_Outcome] = []
        steps: list[Step] = []
        self._waiting.update(fresh)
        for lane in list(self._waiting):
            self._pour(lane, outcomes)
        ended = [self._step(direction, outcomes, steps) for direction in self._pools]
        # A lane that no pool had room for goes on when a stream has ended.
        more = any(ended) or not all(lane.blocked for lane in self._waiting)
        return outcomes, steps, (more and bool(self._waiting)) or any(pool.busy for pool in self._pools.values())

    def _pour(self, lane: Lane, outcomes: list[_Outcome]) -> None:
        owners, before = self._owners[lane.direction], lane.stream
        try:
            lane.fill_pool()
        except Exception as error:
            lane.broken = True
            lane.fill_pool()
            outcomes.append((lane, None, False, error))
        if lane.stream is not before:
            if before is not None:
                del owners[before]
            if lane.stream is not None:
                owners[lane.stream] = lane
        if not lane.waits:
            del self._waiting[lane]

    def _step(self, direction: Direction, outcomes: list[_Outcome], steps: list[Step]) -> bool:
        """One step of a pool; whether a stream has ended."""
        pool, owners, began = self._pools[direction], self._owners[direction], time.monotonic()
        limit = self._row_hops[direction]
        batch = pool.next_batch(limit, limit, lambda stream: owners[stream].lead(began))
        if batch is None:
            return False
        try:
            batch.run()
        except Exception as error:
            # Its streams end, for nobody knows which of them it was; the others go on.
            pool.abort(batch)
            for stream in batch.streams:
                lane = owners[stream]
                lane.broken = True
                self._waiting[lane] = None
                self._pour(lane, outcomes)
                outcomes.append((lane, None, False, error))
            return True
        now, ended = time.monotonic(), False
        for output in pool.complete(batch):
            lane = owners[output.stream]
            if output.final:
                del owners[output.stream]
                ended = True
            try:
                outcomes.append((lane, *lane.take(output, batch.hops, now), None))
            except Exception as error:
                lane.broken = True
                self._waiting[lane] = None  # `fill_pool` gives its slot back
                outcomes.append((lane, None, False, error))
        if batch.hops:
            steps.append(Step(direction, len(batch.streams), batch.hops, now - began))
        return ended
