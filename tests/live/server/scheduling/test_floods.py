"""What floods cost, and how long others wait for it: a share of what live streams leave, and not for long."""

import asyncio

import pytest

from streamrvq.live.server.intake import BEYOND_SHARE, LATELY_SECONDS, LONGEST_PAUSE, Rounds
from streamrvq.live.server.scheduling.live_load import LEAST_LEFT
from tests.live.server.test_intake import FRAME, Client, until


@pytest.mark.asyncio
@pytest.mark.parametrize("left", [1.0, 0.3])
async def test_floods_get_a_fifth_of_what_is_left_with_what_their_messages_cost(monkeypatch, left):
    """A frame is parsed in 10 µs, and its message costs 100 µs more in the connection's task; nothing else happens."""
    now, busy, later = [0.0], [0.0], []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda delay, call: later.append((delay, call)))

    class Slow(Client):
        handled = 0

        def take(self, seconds):
            now[0] += seconds
            busy[0] += seconds

        def parse(self, data):
            before = self.frames
            super().parse(data)
            self.take(1e-5 * (self.frames - before))

        def handle(self):
            cost, self.handled = 1e-4 * (self.frames - self.handled), self.frames
            self.take(cost)
            self.intake.spend(cost)

    turns = Rounds(lambda: now[0], cpu=lambda: now[0])
    turns.load.left = left
    floods = [Slow(turns) for _ in range(8)]
    for flood in floods:
        flood.intake.receive(bytes(8192))
        flood.handle()
    at_first = None  # what the allowances allow is before the first pause
    while any(flood.intake.waiting for flood in floods):
        if later:
            at_first = at_first or (now[0], busy[0])
            ((delay, call),) = later
            later.clear()
            now[0] += delay + 1e-9  # so that no rounding leaves a rest
            call()
        await asyncio.sleep(0)
        for flood in floods:
            flood.handle()
    seconds, taken = now[0] - at_first[0], busy[0] - at_first[1]
    assert taken >= 1.1e-4 * 7000 * 8 / FRAME
    assert taken <= seconds * BEYOND_SHARE * left * 1.05


@pytest.mark.asyncio
async def test_nobody_waits_long_for_what_floods_have_cost(monkeypatch):
    """Nor does anybody for what connections cost that had no turn beyond their allowances, or while all stood still."""
    now, later = [0.0], []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda delay, call: later.append(delay))

    class Stopped(Client):
        def parse(self, data):
            now[0] += 60.0
            super().parse(data)

    turns = Rounds(lambda: now[0], cpu=lambda: 0.0)
    turns.load.left = LEAST_LEFT
    flood = Stopped(turns)
    flood.intake.receive(bytes(8192))
    await until(lambda: not flood.intake.waiting)
    now[0] += 2 * LATELY_SECONDS
    flood.intake.spend(100.0)
    assert turns._share.pause(now[0]) == 0.0
    assert not later
    turns.owe(100.0)
    assert turns._share.pause(now[0]) == pytest.approx(LONGEST_PAUSE)
