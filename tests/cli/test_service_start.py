"""How `serve` ends when it has not begun to listen, and when a part of the server fails: at once, and it says so."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamrvq.cli import serve
from streamrvq.live.server import server as server_module
from streamrvq.live.server.admission import descriptors
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.server.scheduling.warmup import GivenUpError, warm_up
from streamrvq.live.server.server import Server
from tests.support.command import Run
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL


@pytest.fixture(autouse=True)
def this_process_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_collect_in_small_parts", lambda: None)
    monkeypatch.setattr(descriptors, "raise_limit", lambda: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_the_warm_up(
    run: Run, served_weights: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int
) -> None:
    seen = []

    def warm_up_for_ever(codec: Any, max_batch: int | None, given_up: Callable[[], bool]) -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)
        over, never = threading.Timer(PATIENCE, lambda: None), threading.Event()
        over.start()
        while over.is_alive() and not given_up():
            never.wait(0.001)
        seen.append(given_up())
        over.cancel()
        raise GivenUpError

    monkeypatch.setattr(server_module, "warm_up", warm_up_for_ever)
    done = run("serve", served_weights, "--port", 0)
    assert (done.code, done.out) == (0, "")
    assert "a signal ended the server before it listened" in done.err
    assert seen == [True]


def test_the_warm_up_ends_between_two_steps() -> None:
    asked = []

    def given_up() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(GivenUpError):
        warm_up(CAUSAL, 1, given_up)
    assert len(asked) == 3


@pytest.mark.parametrize(("part", "method"), [(Scheduler, "run"), (Server, "_watch_deadlines")])
def test_a_server_that_has_failed_ends_its_process(
    run: Run, served_weights: Path, monkeypatch: pytest.MonkeyPatch, part: type, method: str
) -> None:
    async def fail(self: Any) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    monkeypatch.setattr(part, method, fail)
    done = run("serve", served_weights, "--port", 0)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("streamrvq: error: the server failed, and has stopped")


def test_no_connection_of_an_address_is_refused_as_a_limit(run: Run, served_weights: Path) -> None:
    assert "max_connections_of_one is 0; wanted" in run("serve", served_weights, "--max-of-one", 0).sentence
