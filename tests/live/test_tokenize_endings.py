"""However tokens end (errors, leaving, cancelling, bad settings): each is reported once, and nothing is left behind."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from streamrvq import END, EngineError, File, InputError, SourceError, StreamClosedError, tokenize
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.shell import CODEC, DELAYED, HOP, codes_of, collect, nothing_left, source


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
    """While it waits for a silent source, or for room in a full queue."""
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
async def test_tokens_that_somebody_else_cancels_do_not_end_as_if_the_source_had():
    """A program that cancels all tasks meets the one that encodes."""
    with nothing_left():
        async with tokenize(source(*[noise(HOP)] * 9), CODEC, queue_size=1) as tokens:
            await anext(tokens)
            tokens._task.cancel()
            with pytest.raises(StreamClosedError, match="ended before their source did: CancelledError"):
                async for _ in tokens:
                    pass


@pytest.mark.asyncio
async def test_a_cancellation_waits_for_the_call_in_flight():
    loop, inside, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold():
        loop.call_soon_threadsafe(inside.set)
        assert go.wait(PATIENCE)

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
