"""The scheduler by itself: whose turn it is, what fits into a step, and that a failure stays with those it concerns."""

import asyncio
import dataclasses
import itertools
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.errors import InputError
from streamrvq.live.server.scheduling import scheduler as scheduler_module
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.worker import Worker
from tests.support.contract import cut, noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, DELAYED, HOP, RATE, end_of, packet, serving, start

HOPS = {"encode": 8, "decode": 8}


@asynccontextmanager
async def scheduling(codec=CAUSAL, slots=16, row_hops=None, **options):
    worker = Worker("test-step")
    scheduler = Scheduler(codec, worker, slots, row_hops or HOPS, **options)
    running = asyncio.create_task(scheduler.run())
    try:
        yield scheduler
    finally:
        running.cancel()
        await asyncio.wait([running])
        await worker.close()


class Sink:
    """What a lane delivered."""

    def __init__(self, scheduler, direction="encode", rate=RATE):
        self.parts, self.error, self.ended = [], None, asyncio.Event()
        self.lane = scheduler.open(direction, rate, self.take, self.fail)

    def take(self, data, last):
        assert not self.ended.is_set()
        self.parts.append(data)
        if last:
            self.ended.set()

    def fail(self, error):
        self.error = error
        self.ended.set()

    @property
    def all(self):
        return np.concatenate(self.parts, axis=-1)


@dataclasses.dataclass(frozen=True)
class Signal:
    """What one lane gets, and in what pieces."""

    direction: str
    rate: int
    length: int  #: samples or frames
    sizes: list[int]  #: of the first pieces; then the rest comes at once
    turns: list[bool]  #: over and over: whether others have their turn after a piece
    segment: int | None = None  #: where another one begins, if it does
    dropped: bool = False

    def whole(self):
        """All of it: samples, or codes ``[3, n]``."""
        if self.direction == "encode":
            return noise(self.length)
        return np.random.default_rng(self.length).integers(0, 64, (3, self.length))


TURNS, DROPPED = st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([False] * 4 + [True])
ENCODED = st.builds(
    Signal, st.just("encode"), st.sampled_from([8000, RATE, 48_000]), st.integers(0, 40 * HOP),
    st.lists(st.integers(1, 5 * HOP), max_size=16), TURNS, st.none() | st.none() | st.integers(0, 40 * HOP), DROPPED,
)  # fmt: skip
DECODED = st.builds(
    Signal, st.just("decode"), st.just(RATE), st.integers(0, 40),
    st.lists(st.integers(1, 7), max_size=8), TURNS, st.none(), DROPPED,
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([CAUSAL, DELAYED]),
    st.integers(1, 9),
    st.integers(2, 5),
    st.lists(st.one_of(ENCODED, ENCODED, DECODED), min_size=6, max_size=12),
)
def test_any_lanes_fed_in_any_way(codec, limit, slots, signals):
    """More lanes than slots are never open at once; each gets what it would get alone."""

    async def one(scheduler, turn, signal):
        async with turn:
            whole, rate = signal.whole(), signal.rate
            at = min(signal.segment or 0, signal.length)
            pieces = [whole[:at], whole[at:]] if at else [whole]
            sink, turns = Sink(scheduler, signal.direction, rate), itertools.cycle(signal.turns)
            for number, piece in enumerate(pieces):
                if number:
                    scheduler.segment(sink.lane)
                for part in cut(piece, signal.sizes):
                    scheduler.feed(sink.lane, part)
                    if next(turns):
                        await asyncio.sleep(0)
            if signal.dropped:
                scheduler.drop(sink.lane)
                scheduler.drop(sink.lane)
                return
            if signal.direction == "encode":
                wanted = np.concatenate([codec.encode(piece, sample_rate=rate) for piece in pieces], axis=1)
            else:
                wanted = codec.decode(whole).astype(np.float32)
            scheduler.close(sink.lane)
            await asyncio.wait_for(sink.ended.wait(), PATIENCE)
            assert sink.error is None
            assert np.array_equal(sink.all, wanted)

    async def run():
        async with scheduling(codec, slots, {"encode": limit, "decode": limit}, gather=0.0005) as scheduler:
            turn = asyncio.Semaphore(slots)
            await asyncio.gather(*(one(scheduler, turn, signal) for signal in signals))
            while any(pool.open_streams for pool in scheduler._pools.values()):
                await asyncio.sleep(0.001)
            assert {direction for direction, owners in scheduler._owners.items() if owners} == set()
            assert not scheduler._lanes
            assert not scheduler._waiting

    asyncio.run(run())


@pytest.mark.asyncio
async def test_a_step_that_fails_ends_its_streams_and_no_others(monkeypatch):
    honest = CAUSAL.engine.encode_step

    def step(pcm, *rest):
        if np.any(pcm == 0.125):
            raise MemoryError("inner workings")
        return honest(pcm, *rest)

    monkeypatch.setattr(CAUSAL.engine, "encode_step", step)
    async with scheduling() as scheduler:
        good, bad = Sink(scheduler), Sink(scheduler)
        pcm = noise(10 * HOP)
        scheduler.feed(good.lane, pcm[:HOP])
        while not good.parts:
            await asyncio.sleep(0.001)
        scheduler.feed(bad.lane, np.full(HOP, 0.125, np.float32))
        await asyncio.wait_for(bad.ended.wait(), PATIENCE)
        scheduler.feed(good.lane, pcm[HOP:])
        scheduler.close(good.lane)
        await asyncio.wait_for(good.ended.wait(), PATIENCE)
        assert isinstance(bad.error, MemoryError)
        assert not bad.parts
        assert good.error is None
        assert np.array_equal(good.all, CAUSAL.encode(pcm))
        scheduler.feed(bad.lane, pcm)  # it is ignored
        assert scheduler._pools["encode"].open_streams == 0


@pytest.mark.asyncio
async def test_a_sink_that_fails_is_told_and_the_others_go_on(caplog):
    async with scheduling() as scheduler:
        good, bad = Sink(scheduler), Sink(scheduler)
        bad.lane.on_output = lambda data, last: 1 / 0
        pcm = noise(10 * HOP)
        for sink in (bad, good):
            scheduler.feed(sink.lane, pcm)
            scheduler.close(sink.lane)
        await asyncio.wait_for(asyncio.gather(good.ended.wait(), bad.ended.wait()), PATIENCE)
        assert isinstance(bad.error, ZeroDivisionError)
        assert np.array_equal(good.all, CAUSAL.encode(pcm))
    assert "handing out failed" in caplog.text


@pytest.mark.asyncio
async def test_a_file_does_not_hold_up_live_streams(monkeypatch):
    """Three streams send four seconds at once, four are live.

    As long as a file has hops left, a live stream's hop is in the next step but one at the latest, and no step is
    larger than fits into a hop. Time passes only from hop to hop, as for live streams, however fast the machine is.
    """
    steps, now = [], [0.0]
    monkeypatch.setattr(scheduler_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    async with scheduling(row_hops={"encode": 4, "decode": 4}, on_step=steps.append, gather=0) as scheduler:
        files, lives = [Sink(scheduler) for _ in range(3)], [Sink(scheduler) for _ in range(4)]
        long, short = noise(4 * RATE), noise(50 * HOP)
        for file in files:
            scheduler.feed(file.lane, long)
            scheduler.close(file.lane)
        waits = []
        for hop in range(50):
            now[0] += HOP / RATE
            for live in lives:
                scheduler.feed(live.lane, short[hop * HOP : (hop + 1) * HOP])
            before = len(steps)
            while any(len(live.parts) <= hop for live in lives):
                await asyncio.sleep(0)
            waits.append(len(steps) - before)
        assert [file.ended.is_set() for file in files] == [False] * 3
        assert max(waits) <= 3
        assert max(step.rows * step.hops for step in steps) <= 4
        for live in lives:
            scheduler.close(live.lane)
        await asyncio.wait_for(asyncio.gather(*(sink.ended.wait() for sink in (*files, *lives))), PATIENCE)
        assert [np.array_equal(live.all, CAUSAL.encode(short)) for live in lives] == [True] * 4
        assert [np.array_equal(file.all, CAUSAL.encode(long)) for file in files] == [True] * 3
        # what one file gets the others get
        assert max(len(file.parts) for file in files) < 1.5 * min(len(file.parts) for file in files)


def test_the_lowest_rank_comes_first():
    pool = CAUSAL.pool(6)
    streams = [pool.open() for _ in range(6)]
    for stream in streams:
        pool.feed(stream, noise(9 * HOP))
    batch = pool.next_batch(2, rank=lambda stream: -stream.slot)
    assert {stream.slot for stream in batch.streams} == {4, 5}
    assert batch.hops == 9
    pool.abort(batch)
    batch = pool.next_batch(3, max_row_hops=10, rank=lambda stream: 0.0)
    assert len(batch.streams) == 3
    assert batch.hops == 3
    pool.abort(batch)
    batch = pool.next_batch(4, max_row_hops=1)
    assert len(batch.streams) == 4
    assert batch.hops == 1
    pool.abort(batch)
    with pytest.raises(InputError):
        pool.next_batch(max_row_hops=0)


def test_no_negative_window():
    with pytest.raises(InputError, match="gather"):
        Scheduler(CAUSAL, None, 1, HOPS, gather=-1)


@pytest.mark.asyncio
async def test_an_output_that_cannot_be_taken_ends_its_stream_only(monkeypatch):
    async with scheduling() as scheduler:
        good, bad = Sink(scheduler), Sink(scheduler)
        monkeypatch.setattr(bad.lane, "process_output", lambda output, hops, now: 1 / 0)
        pcm = noise(10 * HOP)
        for sink in (bad, good):
            scheduler.feed(sink.lane, pcm)
        scheduler.close(good.lane)
        await asyncio.wait_for(asyncio.gather(good.ended.wait(), bad.ended.wait()), PATIENCE)
        assert isinstance(bad.error, ZeroDivisionError)
        assert np.array_equal(good.all, CAUSAL.encode(pcm))
        scheduler.feed(good.lane, pcm)  # another tick
        while scheduler._pools["encode"].open_streams:
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_server_without_a_scheduler_stops(monkeypatch, caplog):
    async with serving(stop_timeout=1) as server:
        monkeypatch.setattr(server.scheduler, "_tick", lambda fresh: 1 / 0)
        code, _ = await end_of(server.url, [start(), packet(payload=bytes(1000))])
        assert code == 1011
        await server.stop()
    assert "the scheduler failed" in caplog.text
