"""Pieces of work keep their order, their share of the time, and leave every turn of the loop to others."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from streamrvq.live.server.access import Allowance
from streamrvq.live.server.admission.turns import LEAST_PART, Turns
from streamrvq.live.server.scheduling.live_load import LiveLoad
from tests.support.patience import PATIENCE


@pytest.mark.asyncio
async def test_pieces_come_in_order_and_some_in_each_turn() -> None:
    turns, done, seen = Turns(Allowance(1000.0, 0.5, 0.0), True), [], []
    running = asyncio.create_task(turns.run())

    def piece(number: int) -> float:
        done.append(number)
        return 0.002  # more than is done in a turn

    for number in range(5):
        turns.add(lambda number=number: piece(number))  # type: ignore[misc]
    assert done == [0]  # at once, since nothing waited
    async with asyncio.timeout(PATIENCE):
        while len(done) < 5:
            seen.append(len(done))
            await asyncio.sleep(0)
    assert done == list(range(5))
    assert max(later - before for before, later in itertools.pairwise(seen)) <= 1
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.asyncio
async def test_work_waits_for_its_share_and_for_other_reasons() -> None:
    turns, done = Turns(Allowance(0.0, 1e-6, 0.0), True), []
    running = asyncio.create_task(turns.run())
    turns.add(lambda: 1.0)
    turns.add(lambda: done.append("later") or 0.0)  # type: ignore[func-returns-value]
    held = Turns(Allowance(1000.0, 1.0, 0.0), False)
    holding = [True]
    held.hold = lambda: 0.001 if holding[0] else 0.0
    waiting = asyncio.create_task(held.run())
    held.add(lambda: done.append("held") or 0.0)  # type: ignore[func-returns-value]
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert done == []
    holding[0] = False
    async with asyncio.timeout(PATIENCE):
        while not done:
            await asyncio.sleep(0.001)
    assert done == ["held"]
    for task in (running, waiting):
        task.cancel()
    await asyncio.wait([running, waiting])


@pytest.mark.asyncio
async def test_owners_take_turns_and_each_keeps_its_order() -> None:
    turns, done = Turns(Allowance(1000.0, 1.0, 0.0), True), []
    turns.hold = lambda: 1e-6  # so that all have to wait
    for number in range(5):
        turns.add(lambda number=number: done.append(f"a{number}") or 0.0, "a")  # type: ignore[misc,func-returns-value]
    for number in range(2):
        turns.add(lambda number=number: done.append(f"b{number}") or 0.0, "b")  # type: ignore[misc,func-returns-value]
    turns.hold = float
    running = asyncio.create_task(turns.run())
    async with asyncio.timeout(PATIENCE):
        while len(done) < 7:
            await asyncio.sleep(0)
    assert done == ["a0", "b0", "a1", "b1", "a2", "a3", "a4"]
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.asyncio
async def test_what_tasks_spend_counts() -> None:
    turns, done = Turns(Allowance(0.001, 1e-6, 0.0), True), []
    turns.add(lambda: done.append("before") or 0.0)  # type: ignore[func-returns-value]
    turns.spend(1.0)
    await asyncio.sleep(0)
    turns.add(lambda: done.append("after") or 0.0)  # type: ignore[func-returns-value]
    assert done == ["before"]


@pytest.mark.asyncio
async def test_a_piece_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    turns, done = Turns(Allowance(1000.0, 1.0, 0.0), False), []
    running = asyncio.create_task(turns.run())

    def fails() -> float:
        raise ZeroDivisionError

    for step in (fails, fails, lambda: done.append(1) or 0.0):  # type: ignore[func-returns-value]
        turns.add(step)
    async with asyncio.timeout(PATIENCE):
        while not done:
            await asyncio.sleep(0)
    assert caplog.text.count("a piece of work failed") == 2
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.asyncio
async def test_after_the_end_a_piece_may_add_the_next_any_number_of_times() -> None:
    turns, done = Turns(Allowance(1000.0, 0.5, 0.0), True), 0

    def piece() -> float:
        nonlocal done
        done += 1
        if done < 5000:
            turns.add(piece)
        return 0.0

    turns.close()
    turns.add(piece)
    assert done == 5000


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("now_left", "pauses", "counts"),
    [(1.0, True, 1.0), (0.75, True, 0.75), (0.1, True, LEAST_PART), (0.1, False, 1.0)],
)
async def test_a_share_that_pauses_is_of_what_live_streams_leave(now_left: float, pauses: bool, counts: float) -> None:
    load, share = LiveLoad(), Allowance(1.0, 1e-6, asyncio.get_running_loop().time())
    load.left = now_left
    turns = Turns(share, pauses, load)
    running = asyncio.create_task(turns.run())
    turns.worked(0.125)
    turns.add(lambda: 0.0625)
    left = share.left(asyncio.get_running_loop().time())
    assert left == pytest.approx(1.0 - (0.125 + 0.0625) / counts, abs=0.05)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.asyncio
async def test_what_is_done_in_turns_is_no_load_of_live_streams() -> None:
    load = LiveLoad()
    turns = Turns(Allowance(1000.0, 1.0, asyncio.get_running_loop().time()), True, load)
    running = asyncio.create_task(turns.run())
    for second in range(20):
        load.measure(second, 0.75 * second)  # seconds of the loop
        turns.worked(0.25)
        done: list[int] = []
        turns.add(lambda done=done: done.append(0) or 0.25)  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE):
            while not done:
                await asyncio.sleep(0)
        load.tick(0.25)
    assert load.left == pytest.approx(0.5, abs=0.05)  # 0.25 of the loop and 0.25 of the worker are live
    running.cancel()
    await asyncio.wait([running])
