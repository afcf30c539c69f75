"""Many streams, one thread: collect the streams that have a hop, compute one batched step, deliver its outputs.

    scheduler = Scheduler(codec, worker, slots=64, row_hops={"encode": 32, "decode": 32})
    running = asyncio.create_task(scheduler.run())
    lane = scheduler.open("encode", 48_000, on_output, on_failure)
    scheduler.feed(lane, pcm) …, scheduler.close(lane)

A tick is one call in the worker thread. It moves new work into the pools, runs one step of each pool, and takes the
outputs. Meanwhile more work comes in, so under load the steps fill by themselves. When the thread is idle, the first
stream waits a *gather window* for the others, unless there are no others.

Work for live streams comes first. A step has only these (pace.py), while one of them has a hop. Others get the steps
between, and a share in any case (shares.py, live_load.py): first those that are behind real time. A step computes
within one hop of audio (warmup.py). Where more streams have a hop than fit, that furthest behind real time goes first.

Knows: ticks, fairness, two pools. Does not know: sockets, messages, whose the lanes are, what a lane keeps (lane.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from time import thread_time
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ....errors import InputError
from ....geometry import Direction
from ....streaming.batches import Batch, StreamId
from ...worker import Worker
from ..logs import log
from .jobs import Silence
from .lane import Filled, Lane
from .live_load import LiveLoad
from .results import Delivery, Step, Tick
from .shares import Shares

if TYPE_CHECKING:
    from ....codec import Codec


class Scheduler:
    """Computes all streams of a codec in batched steps, in one worker thread.

    Args:
        codec: whose engine computes.
        worker: the thread that computes.
        slots: streams of each direction that may be open at once.
        row_hops: the most rows × hops of a step, for each direction (`warm_up`).
        gather: seconds to wait for other streams.
        on_step: called on the event loop after each step.
        on_latency: called there with the seconds from a stream's newest input to the outputs that it completed.
        load: told what ticks take for live streams; says what these leave to others.

    Raises:
        InputError: ``gather`` is negative.
    """

    def __init__(
        self, codec: Codec, worker: Worker, slots: int, row_hops: dict[Direction, int], gather: float = 0.002,
        on_step: Callable[[Step], None] = lambda step: None,
        on_latency: Callable[[float], None] = lambda seconds: None, load: LiveLoad | None = None,
    ) -> None:  # fmt: skip
        if gather < 0:
            raise InputError(f"gather is {gather}; wanted seconds, 0 or more")
        self._codec, self._worker, self._gather = codec, worker, gather
        self._on_step, self._on_latency, self._load = on_step, on_latency, load or LiveLoad()
        self._pools = {direction: codec.pool(slots, direction, most) for direction, most in row_hops.items()}
        self._hop_seconds = codec.hop_length / codec.sample_rate
        self._clock = time.monotonic if codec.engine.name == "cuda" else thread_time  # what a GPU takes is no thread's
        # ---- used by the event loop
        self._lanes: set[Lane] = set()  # neither ended nor dropped
        self._new_work: dict[Lane, None] = {}  # lanes with something to do since the last tick, in order
        self._woken = asyncio.Event()
        # ---- used by the worker
        self._waiting: dict[Lane, bool] = {}  # lanes with work outside their pool → whether they are blocked
        self._directions = list(row_hops)  # of steps for streams that catch up: the one whose turn it is comes first
        self._shares = Shares(row_hops, self._hop_seconds)
        self._owners: dict[Direction, dict[StreamId, Lane]] = {"encode": {}, "decode": {}}

    # ------------------------------------------------------------- the event loop's side

    def open(
        self, direction: Direction, sample_rate: int, on_output: Callable[[npt.NDArray[Any], bool], None],
        on_failure: Callable[[BaseException], None], outputs: Callable[[int], int] | None = None,
    ) -> Lane:  # fmt: skip
        """Open a lane for one stream. It ends with its last output, with a failure, or by `drop`.

        Args:
            direction: ``"encode"`` or ``"decode"``.
            sample_rate: of the client's samples, Hz.
            on_output, on_failure, outputs: see `Lane`.
        """
        rates = (sample_rate, self._codec.sample_rate)
        lane = Lane(direction, self._pools[direction], rates, self._hop_seconds, on_output, on_failure, outputs,
                    time.monotonic())  # fmt: skip
        self._lanes.add(lane)
        return lane

    @property
    def queued_seconds(self) -> float:
        """Seconds of audio that wait outside the pools, summed over all streams."""
        return round(sum(lane.queued_seconds for lane in self._lanes), 3)

    def feed(self, lane: Lane, data: npt.NDArray[Any]) -> None:
        """Add checked inputs: samples ``[n]`` at the lane's rate, float32 or int16, or codes ``[K, n]``."""
        lane.put(data, time.monotonic())
        self._wake(lane)

    def feed_silence(self, lane: Lane, samples: int) -> None:
        """Add so many zeros, at the lane's rate."""
        lane.put(Silence(samples), time.monotonic())
        self._wake(lane)

    def allow(self, lane: Lane, outputs: int) -> None:
        """Say that there is room for the lane's first ``outputs`` outputs. No more than these are computed."""
        lane.allow(outputs)
        if lane.queued and lane in self._lanes:
            self._wake(lane)

    def held(self, lane: Lane, held: bool) -> None:
        """Say that the lane's client was lost, or has come back and may send what it kept."""
        lane.held(held, time.monotonic())

    def segment(self, lane: Lane) -> None:
        """End the signal and begin another: all frames owed come out, and later inputs go to a fresh stream."""
        lane.put("segment", 0.0)
        self._wake(lane)

    def close(self, lane: Lane) -> None:
        """End the lane: everything still owed comes out, the last output marked as such."""
        lane.put("close", 0.0)
        self._wake(lane)

    def drop(self, lane: Lane) -> None:
        """Forget a lane at once; no more outputs come. Calling it again is harmless."""
        if lane in self._lanes:
            self._retire(lane)
            self._wake(lane)

    def _retire(self, lane: Lane) -> None:
        self._lanes.remove(lane)
        lane.drop()

    def _wake(self, lane: Lane) -> None:
        self._new_work[lane] = None
        self._woken.set()

    async def run(self) -> None:
        """Run ticks for ever; a task of its own."""
        while True:
            await self._woken.wait()
            if self._gather and len(self._new_work) < len(self._lanes):
                await asyncio.sleep(self._gather)
            more = True
            while more:
                new_work, self._new_work = self._new_work, {}
                self._woken.clear()
                tick, more = await self._worker.run(self._tick, new_work)
                for delivery in tick.deliveries:
                    self._deliver(*delivery)
                for step in tick.steps:
                    self._on_step(step)
                self._load.tick(tick.live_seconds)
                if tick.live_seconds:  # these leave first: the next tick takes Python's lock, and perhaps the core
                    await asyncio.sleep(0)

    def _deliver(self, lane: Lane, data: npt.NDArray[Any] | None, last: bool, error: BaseException | None) -> None:
        if lane not in self._lanes:
            return
        on_output, on_failure = lane.on_output, lane.on_failure  # a lane that is dropped forgets them
        if last or error is not None:
            self._retire(lane)
        try:
            if error is not None:
                on_failure(error)
            elif data is not None:
                on_output(data, last)
                if data.shape[-1] and not lane.queued:
                    self._on_latency(time.monotonic() - lane.fed_at)
        except Exception as failure:  # of one stream; the others continue
            log.exception("handing out failed")
            self.drop(lane)
            on_failure(failure)

    # ------------------------------------------------------------- the worker's side

    def _tick(self, new_work: dict[Lane, None]) -> tuple[Tick, bool]:
        tick, began = Tick(), self._clock()
        for lane in new_work:
            self._waiting[lane] = False
        if self._fill_pools(tick) | self._steps(tick):  # both are run; every blocked lane may have waited for it
            self._waiting = dict.fromkeys(self._waiting, False)
        tick.seconds = self._clock() - began
        return tick, not all(self._waiting.values()) or any(pool.busy for pool in self._pools.values())

    def _fill_pools(self, tick: Tick) -> bool:
        """Move what waits into the pools: least first, so that nobody's hop waits for another's file. Returns whether a
        slot was given back."""
        now, freed = time.monotonic(), False
        live = any(lane.expected(now) for owners in self._owners.values() for lane in owners.values())
        self._shares.begin_tick(live, self._load.left)
        ready = (lane for lane, blocked in self._waiting.items() if not blocked)  # the rest would cost each tick time
        for lane in sorted(ready, key=lambda lane: lane.queued_seconds):
            live = lane.live(now)
            try:
                began = time.monotonic()
                filled = lane.fill_pool(self._shares.to_fill(lane.direction, live))
                freed |= filled.closed is not None
                self._shares.filled(lane.direction, live, filled.hops, time.monotonic() - began)
                self._record(lane, filled)
            except Exception as error:
                self._fail(lane, error, tick)
                freed = True
        return freed

    def _steps(self, tick: Tick) -> bool:
        """Run a step of each pool for live streams, or one for the others. Returns whether a stream has ended."""
        now, ended, worked = time.monotonic(), False, False
        if self._shares.owed and (others := self._next_of_others(now)) is not None:
            return self._run(*others, tick)
        for direction, most in self._shares.row_hops.items():
            batch = self._next_batch(direction, most, now, lambda lane: lane.live(now))
            if batch is not None:
                ended |= self._run(direction, batch, tick, live=True)
                worked |= batch.hops > 0
                self._shares.live_step(direction, len(batch.streams) * batch.hops)
        if not worked and (others := self._next_of_others(now)) is not None:
            ended |= self._run(*others, tick)
        return ended

    def _next_of_others(self, now: float) -> tuple[Direction, Batch] | None:
        """The next step for those that are not live, first of those behind real time; the directions take turns."""
        for most, only in (
            (self._shares.due, lambda lane: lane.due(now)), (self._shares.catch_up, lambda lane: not lane.live(now)),
        ):  # fmt: skip
            for direction in tuple(self._directions):
                batch = self._next_batch(direction, most[direction], now, only)
                if batch is not None:
                    self._directions.sort(key=direction.__eq__)  # it comes last the next time
                    self._shares.other_step(direction, len(batch.streams) * batch.hops)
                    return direction, batch
        # What waits outside the pools comes there with a later tick.
        if not any(not blocked and not lane.live(now) for lane, blocked in self._waiting.items()):
            self._shares.none_waits()
        return None

    def _next_batch(self, direction: Direction, most: int, now: float, only: Callable[[Lane], bool]) -> Batch | None:
        pool, owners = self._pools[direction], self._owners[direction]
        return pool.next_batch(most, min(most, self._shares.due[direction]),
                               lambda stream: owners[stream].seconds_ahead(now),
                               lambda stream: only(owners[stream]))  # fmt: skip

    def _record(self, lane: Lane, filled: Filled) -> None:
        """Note which stream a lane has in its pool now, and whether it has more to put there."""
        owners = self._owners[lane.direction]
        if filled.closed is not None:
            owners.pop(filled.closed, None)  # one that was opened in a failed call was never noted
        if filled.opened is not None:
            owners[filled.opened] = lane
        if filled.waits:
            self._waiting[lane] = filled.blocked
        else:
            self._waiting.pop(lane, None)

    def _fail(self, lane: Lane, error: BaseException, tick: Tick) -> None:
        """End a lane whose work went wrong: it gives its slot back, and its stream receives the error."""
        self._record(lane, lane.fail())
        tick.deliveries.append(Delivery(lane, None, False, error))

    def _run(self, direction: Direction, batch: Batch, tick: Tick, live: bool = False) -> bool:
        """Run one step of a pool. Returns whether a stream has ended."""
        pool, owners, began = self._pools[direction], self._owners[direction], time.monotonic()
        try:
            batch.run()
        except Exception as error:
            # It is unknown which of its streams was the cause, so all of them end. The others continue.
            pool.abort(batch)
            for stream in batch.streams:
                self._fail(owners[stream], error, tick)
            return True
        now, ended = time.monotonic(), False
        for output in pool.complete(batch):
            lane = owners[output.stream]
            if output.final:
                del owners[output.stream]
                ended = True
            try:
                data, last = lane.process_output(output, batch.hops, now)
            except Exception as error:
                self._fail(lane, error, tick)
                ended = True
            else:
                tick.deliveries.append(Delivery(lane, data, last, None))
        if batch.hops:
            tick.steps.append(Step(direction, len(batch.streams), batch.hops, now - began, live))
        return ended
