"""What live streams take is measured where it is spent, and each share asks what they leave."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import pytest

from streamrvq.live.server.scheduling.live_load import LiveLoad
from tests.support.patience import PATIENCE
from tests.support.service import HOP, end_of, packet, serving, start

STOP = json.dumps({"type": "stop"})


@pytest.mark.asyncio
async def test_every_part_tells_and_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    told, asked = Counter[str](), set[str]()

    def caller() -> str:
        name: str = sys._getframe(2).f_globals["__name__"]
        return name.rpartition(".")[2]

    class Spy(LiveLoad):
        def others(self, seconds: float) -> None:
            told[f"others, {caller()}"] += seconds > 0.0
            super().others(seconds)

        def tick(self, seconds: float) -> None:
            told[f"tick, {caller()}"] += seconds > 0.0
            super().tick(seconds)

        def measure(self, now: float, loop_seconds: float) -> None:
            told[f"measure, {caller()}"] += 1
            super().measure(now, loop_seconds)

        def __getattribute__(self, name: str) -> Any:
            if name == "left":
                asked.add(caller())
            return super().__getattribute__(name)

    monkeypatch.setattr("streamrvq.live.server.server.LiveLoad", Spy)
    async with serving() as server, asyncio.timeout(PATIENCE):
        blocks = [packet(seq, HOP * seq, bytes(2 * HOP)) for seq in range(20)]
        assert (await end_of(server.url, [start(), *blocks, STOP]))[0] == 1000
        assert (await end_of(server.url, [start(), *(packet(seq=i) for i in range(6000))]))[0] == 4429
        while told["measure, server"] < 2:
            await asyncio.sleep(0.05)
    for part in ("others, turns", "others, transport", "others, intake", "tick, scheduler"):
        assert told[part], (part, told)
    assert asked >= {"turns", "intake", "scheduler"}
