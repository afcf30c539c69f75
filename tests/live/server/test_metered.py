"""A metered coroutine is the coroutine; its steps are counted, whatever they end with."""

from __future__ import annotations

import asyncio
from time import thread_time

import pytest

from streamrvq.live.server.metered import Metered


def busy(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


def always() -> bool:
    return True


async def worked() -> str:
    busy(0.01)
    await asyncio.sleep(0.05)  # which costs nothing
    busy(0.02)
    return "done"


@pytest.mark.asyncio
async def test_result_and_time() -> None:
    spent: list[float] = []
    before = thread_time()
    assert await asyncio.create_task(Metered(worked(), spent.append, always)) == "done"
    assert 0.03 <= sum(spent) <= thread_time() - before


@pytest.mark.asyncio
async def test_only_steps_that_count_are_told() -> None:
    """Each is asked about before it; a step that does not count reads no clock."""
    asked: list[bool] = []

    async def steps() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    def every_other() -> bool:
        asked.append(len(asked) % 2 == 0)
        return asked[-1]

    spent: list[float] = []
    assert await asyncio.create_task(Metered(steps(), spent.append, every_other)) == "done"
    assert asked == [True, False, True, False]
    assert len(spent) == 2


@pytest.mark.asyncio
async def test_an_exception_comes_out_and_its_step_counts() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        busy(0.01)
        raise ValueError("wrong")

    spent: list[float] = []
    with pytest.raises(ValueError, match="wrong"):
        await Metered(fail(), spent.append, always)
    assert sum(spent) >= 0.01


@pytest.mark.asyncio
async def test_what_is_awaited_fails_inside() -> None:
    future = asyncio.get_running_loop().create_future()

    async def wait() -> str:
        try:
            await future
        except ValueError as error:
            return str(error)
        return ""

    task = asyncio.create_task(Metered(wait(), lambda seconds: None, always))
    await asyncio.sleep(0)
    future.set_exception(ValueError("inside"))
    assert await task == "inside"


@pytest.mark.asyncio
async def test_a_cancellation_goes_in_and_comes_out() -> None:
    seen = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("inside")
            raise

    task = asyncio.create_task(Metered(wait(), lambda seconds: None, always))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["inside"]


def test_a_coroutine_that_is_dropped_is_closed() -> None:
    closed = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def begin() -> None:
        coroutine = Metered(wait(), lambda seconds: None, always)
        coroutine.send(None)
        coroutine.close()

    asyncio.run(begin())
    assert closed == [True]


@pytest.mark.asyncio
async def test_a_task_that_is_cancelled_before_its_first_step_leaves_nothing() -> None:
    """A coroutine that was never awaited would be a warning, and that an error here."""
    task = asyncio.create_task(Metered(worked(), lambda seconds: None, always))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
