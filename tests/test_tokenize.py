"""The asyncio shell: the codes of the whole signal on a bounded queue, the true clock, and nothing left behind."""

import asyncio
import functools
import os
import threading
from collections.abc import AsyncIterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq import END, EngineError, File, Frames, Gap, InputError, SourceError, StreamClosedError, tokenize
from streamrvq.live import file as live_file
from streamrvq.live import tokens as live_tokens
from streamrvq.live.file import Pace
from tests.contract import codec_of, cut, minute, noise, tiny

HOP = 8
CODEC = codec_of(minute(causal=True))  # hop 8, 44.1 kHz, no delay, float64: equality is exact
DELAYED = codec_of(minute(causal=False))


async def source(*items, then: BaseException | None = None) -> AsyncIterator[object]:
    """The items, one after the other, and then an exception or the end."""
    for item in items:
        yield item
    if then is not None:
        raise then


def codes_of(items) -> np.ndarray:
    return np.concatenate([item.codes for item in items if isinstance(item, Frames)], axis=-1)


async def collect(blocks, codec=CODEC, **settings) -> list[Frames | Gap]:
    async with tokenize(blocks, codec, **settings) as tokens:
        return [item async for item in tokens]


def standing() -> tuple[set[object], set[object], list[str]]:
    """The tasks, threads and open files of the moment."""
    files = []
    for name in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the folder's own, closed by now
            continue
    files = sorted(name for name in files if not name.startswith("/proc/"))
    return set(asyncio.all_tasks()), set(threading.enumerate()), files


async def the_other_tasks() -> None:
    """Until those are done that asyncio started to close a generator which was dropped."""
    await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


@contextmanager
def nothing_left():
    before = standing()
    yield
    assert standing() == before


# ------------------------------------------------------------------ the same codes


@settings(max_examples=25)
@given(
    rate=st.sampled_from([44100, 48000, 16000, 96000]),
    samples=st.integers(0, 4000),
    sizes=st.lists(st.integers(0, 700), max_size=25),
    delayed=st.booleans(),
    tail=st.sampled_from(["pad", "valid"]),
    levels=st.integers(1, 3),
    as_int16=st.booleans(),
)
def test_any_blocks_give_the_codes_of_the_whole(rate, samples, sizes, delayed, tail, levels, as_int16):
    pcm, codec = noise(samples), DELAYED if delayed else CODEC
    if as_int16:
        pcm = np.clip(pcm * 32768, -32768, 32767).astype(np.int16)
    whole = codec.encode(pcm, sample_rate=rate, n_quantizers=levels, tail=tail)
    items = asyncio.run(collect(source(*cut(pcm, sizes)), codec, sample_rate=rate, n_quantizers=levels, tail=tail))
    assert np.array_equal(np.concatenate([whole[:, :0], *(item.codes for item in items)], axis=-1), whole)
    index = 0
    for item in items:
        assert item.codes.dtype == np.int64 and item.codes.shape[-1] >= 1
        assert (item.index, item.time) == (index, pytest.approx(index * HOP / 44100))
        index += item.codes.shape[-1]


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 48000])
async def test_real_audio_through_a_real_width(rate, real_audio):
    codec, pcm = codec_of(tiny(causal=False)), real_audio.excerpt(2.0)
    items = await collect(source(*cut(pcm, [1, 441, 480, 511, 512, 513] * 20)), codec, sample_rate=rate)
    assert np.array_equal(codes_of(items), codec.encode(pcm, sample_rate=rate))


@pytest.mark.asyncio
async def test_a_block_of_many_seconds_is_cut_for_the_worker():
    pcm = noise(50_000)
    async with tokenize(source(pcm), CODEC) as tokens:
        items = [item async for item in tokens]
        assert tokens.stats().pushes == 6  # 4 of 0.25 s, the rest, flush
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))


@pytest.mark.asyncio
@pytest.mark.parametrize("downmix", [False, True])
async def test_a_file_at_full_speed(tmp_path, downmix):
    path, rate = tmp_path / "a.wav", 48000
    pcm = np.stack([noise(30_000, seed) for seed in range(2 if downmix else 1)], axis=1)
    soundfile.write(path, pcm, rate, subtype="FLOAT")
    with nothing_left():
        items = await collect(File(path, realtime=False, block=777, downmix=downmix), DELAYED)
    whole = pcm.astype(np.float64).mean(axis=1).astype(np.float32)
    assert np.array_equal(codes_of(items), DELAYED.encode(whole, sample_rate=rate))


# ------------------------------------------------------------------ gaps and the clock


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 16000])
async def test_a_short_gap_is_filled_with_zeros(rate):
    a, b, gap = noise(1001), noise(903, 1), Gap(1001, rate, "overflow")
    async with tokenize(source(a, gap, b), DELAYED, sample_rate=rate, queue_size=1000) as tokens:
        items = [item async for item in tokens]
        stats = tokens.stats()
    filled = np.concatenate([a, np.zeros(rate, np.float32), b])
    assert np.array_equal(codes_of(items), DELAYED.encode(filled, sample_rate=rate))
    assert [item for item in items if isinstance(item, Gap)] == [gap]
    assert (stats.samples, stats.lost, stats.gaps) == (1904, rate, 1)
    assert stats.audio_seconds == pytest.approx(len(filled) / rate)
    for item in items:
        if isinstance(item, Frames):
            assert item.time == pytest.approx(item.index * HOP / 44100)


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 16000])
async def test_a_longer_gap_begins_a_new_stream(rate):
    a, b, gap = noise(1001), noise(903, 1), Gap(1001, rate + 1, "overflow")
    items = await collect(source(a, gap, b), DELAYED, sample_rate=rate)
    at = items.index(gap)
    before, after = DELAYED.encode(a, sample_rate=rate), DELAYED.encode(b, sample_rate=rate)
    assert np.array_equal(codes_of(items[:at]), before)
    assert np.array_equal(codes_of(items[at:]), after)
    first = items[at + 1]
    assert first.index == before.shape[-1]
    assert first.time == pytest.approx((1001 + rate + 1) / rate)
    last = items[-1]
    assert last.time == pytest.approx(first.time + (last.index - first.index) * HOP / 44100)


@pytest.mark.asyncio
async def test_gaps_at_both_ends_and_behind_one_another():
    pcm, long = noise(80), 50_000
    gaps = [Gap(0, long, "late"), Gap(long, 16, "x"), Gap(long + 96, long, "y"), Gap(2 * long + 96, long, "z")]
    items = await collect(source(gaps[0], gaps[1], pcm, gaps[2], gaps[3]))
    assert [item for item in items if isinstance(item, Gap)] == gaps
    assert np.array_equal(codes_of(items), CODEC.encode(np.concatenate([np.zeros(16, np.float32), pcm])))
    frames = [item for item in items if isinstance(item, Frames)]
    assert frames[0].time == pytest.approx(long / 44100)


@pytest.mark.asyncio
@pytest.mark.parametrize("gap", [Gap(99, 5, "x"), Gap(101, 5, "x"), Gap(100, 0, "x"), Gap(100, -5, "x")])
async def test_a_gap_that_does_not_fit_is_an_error(gap):
    with pytest.raises(SourceError, match="after 100 samples"):
        await collect(source(noise(100), gap))


# ------------------------------------------------------------------ the queue


@pytest.mark.asyncio
async def test_the_queue_is_a_plain_one_and_ends_with_END():
    pcm = noise(1000)
    async with tokenize(source(*cut(pcm, [100] * 10)), CODEC, queue_size=2) as tokens:
        assert type(tokens.queue) is asyncio.Queue and tokens.queue.maxsize == 2
        items = []
        while (item := await tokens.queue.get()) is not END:
            items.append(item)
        assert [item async for item in tokens] == []  # END was taken: nothing hangs
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))
    assert repr(END) == "streamrvq.END" and "index=0" in repr(items[0])


@pytest.mark.asyncio
async def test_a_slow_reader_pauses_the_source_and_loses_nothing():
    pcm, pulled, taken, size = noise(400), 0, 0, 3

    async def watched():
        nonlocal pulled
        for block in cut(pcm, [HOP] * 50):
            pulled += 1
            assert pulled <= taken + size + 2  # on the queue, one waiting for room, one in the reader's hand
            yield block

    async with tokenize(watched(), CODEC, queue_size=size) as tokens:
        items = []
        for _ in range(50):
            while tokens.stats().pushes < min(taken + size + 1, 51):  # until one waits for room
                await asyncio.sleep(0)
            items.append(await anext(tokens))
            taken += 1
        assert [item async for item in tokens] == []
        assert tokens.stats().waiting_seconds > 0
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))


@pytest.mark.asyncio
async def test_leaving_early_ends_a_reader_in_another_task():
    async def endless():
        while True:
            yield noise(HOP)

    with nothing_left():
        async with tokenize(endless(), CODEC, queue_size=1) as tokens:
            await tokens.queue.get()
        reader = asyncio.create_task(tokens.queue.get())
        assert await reader is END


# ------------------------------------------------------------------ errors


class Broken(Exception):
    pass


def bad_block() -> np.ndarray:
    pcm = noise(50)
    pcm[7] = np.nan
    return pcm


FAULTS = [  # what comes after two good blocks, as a block or an exception; what is raised, and what it says
    (Broken("unplugged"), Broken, "unplugged"),
    (bad_block(), InputError, "sample 608 is nan"),
    (np.zeros(5), InputError, "float64"),
    (np.zeros((5, 2), np.float32), InputError, "one channel"),
    (bytes(10), SourceError, "np.frombuffer"),
    (asyncio.CancelledError(), SourceError, "cancelled from its own side"),
]
GOOD = noise(300), noise(301, 1)
faults = pytest.mark.parametrize(("fault", "kind", "said"), FAULTS, ids=lambda value: type(value).__name__)


def faulty(fault) -> AsyncIterator[object]:
    return source(*GOOD, then=fault) if isinstance(fault, BaseException) else source(*GOOD, fault)


@pytest.mark.asyncio
@faults
async def test_an_error_comes_once_after_all_that_preceded_it(fault, kind, said):
    with nothing_left():
        items = []
        async with tokenize(faulty(fault), DELAYED) as tokens:
            with pytest.raises(kind, match=said):
                async for item in tokens:
                    items.append(item)
            assert [item async for item in tokens] == []
    assert np.array_equal(codes_of(items), DELAYED.encode(np.concatenate(GOOD)))


@pytest.mark.asyncio
@faults
async def test_who_reads_the_queue_gets_the_error_at_the_end(fault, kind, said):
    with nothing_left():
        with pytest.raises(kind, match=said):
            async with tokenize(faulty(fault), DELAYED) as tokens:
                items = []
                while (item := await tokens.queue.get()) is not END:
                    items.append(item)
        assert np.array_equal(codes_of(items), DELAYED.encode(np.concatenate(GOOD)))


@pytest.mark.asyncio
async def test_the_readers_own_error_goes_first_and_names_the_other():
    with nothing_left(), pytest.raises(ZeroDivisionError) as caught:
        async with tokenize(source(noise(80), then=Broken("unplugged")), CODEC) as tokens:
            while await tokens.queue.get() is not END:
                pass
            raise ZeroDivisionError
    assert caught.value.__notes__ == ["the tokens had ended with Broken('unplugged')"]


@pytest.mark.asyncio
async def test_an_error_while_the_source_is_closed_is_not_lost():
    async def sour():
        try:
            while True:
                yield noise(HOP)
        finally:
            raise Broken("cannot close")

    with nothing_left(), pytest.raises(Broken, match="cannot close"):
        async with tokenize(sour(), CODEC) as tokens:
            await anext(tokens)


class FakeStream:
    """A stream whose second push is whatever the test wants."""

    def __init__(self, second) -> None:
        self.second, self.pushes = second, 0

    def push(self, pcm):
        self.pushes += 1
        if self.pushes == 2:
            self.second()
        return np.zeros((1, 1), np.int64)

    def flush(self):
        return np.ones((1, 1), np.int64)


def fake_codec(second):
    return SimpleNamespace(sample_rate=44100, hop_length=HOP, stream=lambda *settings: FakeStream(second))


@pytest.mark.asyncio
async def test_an_error_in_the_codec_ends_without_a_flush():
    def fail():
        raise EngineError("out of memory")

    with nothing_left():
        items = []
        async with tokenize(source(noise(HOP), noise(HOP), noise(HOP)), fake_codec(fail)) as tokens:
            with pytest.raises(EngineError, match="out of memory"):
                async for item in tokens:
                    items.append(item)
    assert codes_of(items).tolist() == [[0]]


# ------------------------------------------------------------------ leaving


@pytest.mark.asyncio
@pytest.mark.parametrize("queue_size", [1, 64])
async def test_breaking_off_leaves_nothing(queue_size):
    closed = asyncio.Event()

    async def endless():
        try:
            while True:
                yield noise(100)
        finally:
            closed.set()

    with nothing_left():
        async with tokenize(endless(), CODEC, queue_size=queue_size) as tokens:
            async for _ in tokens:
                break
        assert closed.is_set()


@pytest.mark.asyncio
@pytest.mark.parametrize("silent", [True, False])
async def test_cancelling_the_reader_leaves_nothing(silent):
    """While it waits for a source that says no more, or holds a full queue."""
    reached, never = asyncio.Event(), asyncio.Event()

    async def blocks():
        while True:
            yield noise(HOP)
            if silent:
                reached.set()
                await never.wait()

    async def read():
        async with tokenize(blocks(), CODEC, queue_size=1) as tokens:
            if silent:
                async for _ in tokens:
                    pass
            while not tokens.queue.full():
                await asyncio.sleep(0)
            reached.set()
            await never.wait()

    with nothing_left():
        task = asyncio.create_task(read())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_a_cancellation_waits_for_the_call_in_flight():
    loop, inside, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold():
        loop.call_soon_threadsafe(inside.set)
        assert go.wait(60)

    async def read():
        async with tokenize(source(noise(HOP), noise(HOP)), fake_codec(hold)) as tokens:
            async for _ in tokens:
                pass

    with nothing_left():
        task = asyncio.create_task(read())
        await inside.wait()
        for _ in range(3):  # impatience changes nothing
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_a_second_cancellation_reaches_a_source_that_will_not_close():
    reached, closing, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn():
        try:
            yield noise(HOP)
            reached.set()
            await never.wait()
        finally:
            closing.set()
            await never.wait()

    with nothing_left():
        task = asyncio.create_task(collect(stubborn()))
        await reached.wait()
        task.cancel()
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_a_source_that_swallows_the_cancellation_is_left_all_the_same():
    never = asyncio.Event()

    async def deaf():
        yield noise(HOP)
        while True:
            try:
                await never.wait()
            except asyncio.CancelledError:
                yield noise(HOP)

    with nothing_left():
        async with tokenize(deaf(), CODEC, queue_size=1) as tokens:
            while not tokens.queue.full():
                await asyncio.sleep(0)
        assert tokens.queue.get_nowait() is END


@pytest.mark.asyncio
async def test_a_timeout_around_it_stays_a_timeout():
    async def silent():
        await asyncio.Event().wait()
        yield noise(HOP)

    with nothing_left(), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await collect(silent())


@pytest.mark.asyncio
async def test_bad_settings_are_refused_on_entering_and_leave_nothing(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(100), 48000)
    with nothing_left():
        with pytest.raises(InputError, match="n_quantizers"):
            await collect(source(), n_quantizers=4)
        with pytest.raises(InputError, match="tail"):
            await collect(source(), tail="crop")
        with pytest.raises(InputError, match="sample_rate is 0"):
            await collect(source(), sample_rate=0)
        with pytest.raises(InputError, match="the source says 48000"):
            await collect(File(path), sample_rate=44100)
        with pytest.raises(InputError, match="queue_size"):
            tokenize(source(), CODEC, queue_size=0)
        with pytest.raises(SourceError, match="wanted an async iterable"):
            tokenize([noise(100)], CODEC)  # type: ignore[arg-type]
        with pytest.raises(StreamClosedError, match="async with"):
            await anext(tokenize(source(), CODEC))
        async with tokenize(source(), CODEC) as tokens:
            assert [item async for item in tokens] == []
        with pytest.raises(StreamClosedError, match="entered before"):
            await tokens.__aenter__()


# ------------------------------------------------------------------ figures


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", [CODEC, DELAYED], ids=["causal", "symmetric"])
@pytest.mark.parametrize("hops", [1, 4])
async def test_latencies_are_counted_from_receipt_and_from_capture(monkeypatch, codec, hops):
    clock, block = Clock(), hops * HOP
    monkeypatch.setattr(live_tokens, "time", SimpleNamespace(monotonic=clock, perf_counter=clock))

    class Source:
        sample_rate, start_time = 44100, 1000.0

        async def __aiter__(self):
            for i in range(50):
                clock.now = self.start_time + (i + 1) * block / self.sample_rate  # its last sample is captured
                yield noise(block)

    async with tokenize(Source(), codec) as tokens:
        assert tokens.stats().latency_p50 is None and tokens.stats().rtf == 0
        items = [item async for item in tokens]
        stats = tokens.stats()
    hop = HOP / 44100
    # Frame t leaves with hop t + delay, which comes with the block that ends at the next multiple of ``hops``.
    t = np.arange(50 * hops - codec.delay_frames)
    late = (-(-(t + codec.delay_frames + 1) // hops) * hops - (t + 1)) * hop
    assert stats.capture_latency_p50 == pytest.approx(np.percentile(late, 50))
    assert stats.capture_latency_p99 == pytest.approx(np.percentile(late, 99))
    assert (stats.latency_p50, stats.latency_p99) == (0, 0)  # computing takes no time on this clock
    assert (stats.samples, stats.frames, stats.pushes) == (50 * block, 50 * hops, 51)
    assert codes_of(items).shape[-1] == 50 * hops


@pytest.mark.asyncio
async def test_a_source_without_a_start_time_has_no_capture_latency():
    async with tokenize(source(noise(800)), CODEC) as tokens:
        assert [item async for item in tokens]
        stats = tokens.stats()
    assert stats.capture_latency_p50 is None and stats.latency_p50 is not None
    assert stats.busy_seconds > 0 and stats.rtf > 0 and stats.audio_seconds == 800 / 44100


# ------------------------------------------------------------------ File


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(4410), 44100, subtype="FLOAT")
    return path


@pytest.mark.asyncio
async def test_real_time_hands_blocks_out_when_their_last_sample_is_due(clip, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live_file, "Pace", functools.partial(Pace, clock=clock, sleep=clock.sleep))
    file = File(clip, block=1000)
    assert file.start_time is None
    for start in (1000, 2000):  # each pass has its own start
        clock.now = start
        times = [clock.now async for _ in file]
        assert file.start_time == start
        assert times == pytest.approx([start + n / 44100 for n in (1000, 2000, 3000, 4000, 4410)])
    assert len(clock.slept) == 10  # one sleep a block


@pytest.mark.asyncio
async def test_a_late_reader_gets_what_is_due_at_once(clip, monkeypatch):
    clock, times = Clock(), []
    monkeypatch.setattr(live_file, "Pace", functools.partial(Pace, clock=clock, sleep=clock.sleep))
    async for _ in File(clip, block=1000):
        times.append(clock.now)
        if len(times) == 1:
            clock.now += 2500 / 44100
    assert times == pytest.approx([1000 + n / 44100 for n in (1000, 3500, 3500, 4000, 4410)])


@pytest.mark.asyncio
async def test_a_sleep_that_ends_early_is_slept_on(clip):
    clock = Clock()

    async def short(seconds: float) -> None:
        await clock.sleep(seconds / 2 if seconds > 1e-6 else seconds)

    await Pace(44100, clock, short).until(44100)
    assert clock.now == pytest.approx(1001) and len(clock.slept) > 10


@pytest.mark.asyncio
async def test_real_time_is_the_same_audio(clip):
    with nothing_left():
        items = await collect(File(clip))
    assert np.array_equal(codes_of(items), CODEC.encode(noise(4410)))


@pytest.mark.asyncio
@pytest.mark.parametrize("realtime", [True, False])
async def test_file_passes_leave_nothing_however_they_end(clip, realtime):
    with nothing_left():
        file = File(clip, realtime=realtime, block=100)
        async for _ in file:  # break: closed by the loop's hook, as a task of its own
            break
        await the_other_tasks()
    with nothing_left():
        async with File(clip, realtime=realtime, block=100) as file:
            first, second = aiter(file), aiter(file)
            assert np.array_equal(await anext(first), await anext(second))
        with pytest.raises(StreamClosedError):
            await anext(first)
        await second.aclose()

    async def read():
        async for _ in File(clip, realtime=realtime, block=4410 if realtime else 1):
            reached.set()

    with nothing_left():
        reached = asyncio.Event()
        task = asyncio.create_task(read())
        if not realtime:
            await reached.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await the_other_tasks()


@pytest.mark.asyncio
async def test_a_damaged_file_gives_what_is_whole_and_then_its_error(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(40_000), 44100)
    whole = soundfile.read(path, dtype="float32")[0]
    path.write_bytes(path.read_bytes()[:-30_000])
    items = []
    with nothing_left():
        async with tokenize(File(path, realtime=False), CODEC) as tokens:
            with pytest.raises(OSError, match="is damaged after sample"):
                async for item in tokens:
                    items.append(item)
        samples = tokens.stats().samples
    assert samples > 4000
    assert np.array_equal(codes_of(items), CODEC.encode(whole[:samples]))


def test_bad_files_are_refused_at_once(tmp_path, clip):
    with pytest.raises(OSError, match="No such file"):
        File(tmp_path / "no.wav")
    with pytest.raises(InputError, match="block is 0"):
        File(clip, block=0)
