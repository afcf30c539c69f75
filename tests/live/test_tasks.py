"""A task that is cancelled before its first step: what its coroutine has to put in order is put in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

import streamrvq
from streamrvq import END, Frames, StreamClosedError, tokenize
from streamrvq.live.client.stream import RemoteStream
from streamrvq.live.tasks import begin
from streamrvq.live.tokens import Tokens
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import RATE, serving
from tests.support.shell import CODEC, HOP, nothing_left, source


@pytest.mark.asyncio
async def test_a_coroutine_begins_and_is_cancelled_once_where_it_waits() -> None:
    seen = []

    async def wait() -> None:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            task = asyncio.current_task()
            assert task is not None
            seen.append(f"cancelled {task.cancelling()}")

    task = begin(wait(), "waits")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["begun", "cancelled 1"]


@pytest.mark.asyncio
async def test_results_errors_and_later_cancellations_are_those_of_the_coroutine() -> None:
    async def work(fails: bool) -> str:
        try:
            await asyncio.sleep(0)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if fails:
                raise ValueError("inside") from None
        return "done"

    works, fails = begin(work(False), "works"), begin(work(True), "fails")
    await asyncio.sleep(0)
    works.cancel()
    fails.cancel()
    assert await works == "done"
    with pytest.raises(ValueError, match="inside"):
        await fails


class Blocks:
    """A source that counts how often it is closed."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        await asyncio.sleep(0)
        return noise(HOP)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [None, ZeroDivisionError])
async def test_tokens_that_are_left_at_once_leave_nothing(error: type[Exception] | None) -> None:
    blocks = Blocks()
    with nothing_left():
        try:
            async with tokenize(blocks, CODEC) as tokens:
                if error is not None:
                    raise error
        except ZeroDivisionError:
            assert error is ZeroDivisionError
        assert blocks.closed == 1
        assert tokens.queue.get_nowait() is END
        assert tokens.queue.empty()


@pytest.mark.asyncio
async def test_tokens_are_entered_once_though_twice_at_once() -> None:
    tokens = tokenize(source(noise(HOP)), CODEC)
    with nothing_left():
        first, second = await asyncio.gather(tokens.__aenter__(), tokens.__aenter__(), return_exceptions=True)
        assert first is tokens
        assert isinstance(second, StreamClosedError)
        await tokens.__aexit__(None, None, None)


@pytest.mark.asyncio
async def test_tokens_that_somebody_else_cancels_at_once_do_not_end_as_if_the_source_had() -> None:
    with nothing_left():
        async with asyncio.timeout(PATIENCE), tokenize(source(noise(HOP)), CODEC) as tokens:
            assert tokens._task is not None
            tokens._task.cancel()
            with pytest.raises(StreamClosedError, match="ended before their source did: CancelledError"):
                await anext(tokens)


@pytest.mark.asyncio
async def test_a_remote_stream_that_somebody_else_cancels_at_once_does_not_end_as_if_its_server_had() -> None:
    async with (
        asyncio.timeout(PATIENCE),
        serving() as server,
        streamrvq.connect(server.url, sample_rate=RATE) as stream,
    ):
        stream._reading.cancel()
        with pytest.raises(StreamClosedError, match="was cut off: CancelledError came from outside"):
            await anext(stream)


@pytest.mark.asyncio
@pytest.mark.parametrize("leave", [lambda stream: None, lambda stream: stream._feeding.cancel()], ids=["left", "other"])
async def test_a_source_that_is_fed_is_closed_though_its_feeding_ends_at_once(leave: Callable[..., None]) -> None:
    blocks = Blocks()
    async with (
        asyncio.timeout(PATIENCE),
        serving() as server,
        streamrvq.connect(server.url, sample_rate=RATE) as stream,
    ):
        stream.feed(blocks)
        leave(stream)
    assert blocks.closed == 1


async def read_by_two(stream: Tokens | RemoteStream) -> list[int]:
    """The frames of each item, taken by two readers that wait at the same time."""

    async def read() -> list[int]:
        return [item.index async for item in stream if isinstance(item, Frames)]

    one, other = await asyncio.gather(read(), read())
    return sorted(one + other)


@pytest.mark.asyncio
@pytest.mark.parametrize("queue_size", [1, 64])
async def test_the_end_reaches_all_who_read_at_the_same_time(queue_size: int) -> None:
    blocks = [noise(HOP, seed) for seed in range(6)]
    with nothing_left():
        async with asyncio.timeout(PATIENCE), tokenize(source(*blocks), CODEC, queue_size) as tokens:
            assert await read_by_two(tokens) == list(range(6))
            with pytest.raises(StopAsyncIteration):
                await anext(tokens)
    async with (
        asyncio.timeout(PATIENCE),
        serving() as server,
        streamrvq.connect(server.url, sample_rate=RATE, queue_size=queue_size) as stream,
    ):
        stream.feed(blocks)
        assert (await read_by_two(stream))[0] == 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.asyncio
async def test_an_error_at_the_end_comes_once_also_where_two_read() -> None:
    with nothing_left():
        async with asyncio.timeout(PATIENCE), tokenize(source(then=OSError("unplugged")), CODEC) as tokens:
            ends = await asyncio.gather(anext(tokens), anext(tokens), return_exceptions=True)
            assert {type(end) for end in ends} == {OSError, StopAsyncIteration}
