"""Lanes that cannot go on: what wakes them, and that they cost nothing meanwhile."""

import pytest

from streamrvq.live.server.scheduling.lane import Lane
from tests.live.server.scheduling.test_scheduler import Sink, scheduling
from tests.support.contract import noise
from tests.support.service import HOP, RATE, until


@pytest.mark.asyncio
async def test_a_slot_that_is_given_back_wakes_who_waits_for_it():
    """The lane that is dropped has more work than the new one, which is therefore tried first, and finds no slot."""
    outputs = []
    async with scheduling(slots=1) as scheduler:
        old = scheduler.open("encode", RATE, lambda *_: None, pytest.fail, lambda samples: -(-samples // HOP))
        scheduler.allow(old, 10)
        scheduler.feed(old, noise(40 * HOP))
        await until(lambda: list(scheduler._waiting.values()) == [True])
        scheduler.drop(old)
        new = scheduler.open("encode", RATE, lambda data, last: outputs.append((data.shape[1], last)), pytest.fail)
        scheduler.feed(new, noise(5 * HOP))
        scheduler.close(new)
        await until(lambda: outputs and outputs[-1][1])
    assert sum(frames for frames, _ in outputs) == 5


@pytest.mark.asyncio
async def test_lanes_without_room_cost_the_live_ones_nothing(monkeypatch):
    """Each look at one takes time, in every tick."""
    looks, fill_pool = [], Lane.fill_pool
    monkeypatch.setattr(Lane, "fill_pool", lambda lane, most: looks.append(lane) or fill_pool(lane, most))
    async with scheduling() as scheduler:
        full = scheduler.open("encode", RATE, lambda *_: None, pytest.fail, lambda samples: -(-samples // HOP))
        scheduler.feed(full, noise(40 * HOP))
        await until(lambda: list(scheduler._waiting.values()) == [True])
        looks.clear()
        sink = Sink(scheduler)
        for hop in range(20):
            scheduler.feed(sink.lane, noise(HOP))
            await until(lambda hop=hop: len(sink.parts) == hop + 1)
        assert full not in looks
        scheduler.allow(full, 40)
        await until(lambda: not full.queued)
