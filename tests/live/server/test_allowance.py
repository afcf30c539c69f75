"""Whatever is done, and whenever: in the long run it has no more than its share of the time.

And whoever sent too fast starts streams one after another.
"""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.protocol.constants import Close
from streamrvq.live.server import access, intake
from streamrvq.live.server.access import Allowance, Restarts
from streamrvq.live.server.connection import Connection
from streamrvq.live.server.server import Server
from tests.support.patience import PATIENCE
from tests.support.service import RawClient, end_of, no_refill, packet, serving, start, until
from tests.support.shell import nothing_left

STOP = json.dumps({"type": "stop"})


@given(
    steps=st.lists(st.tuples(st.floats(0, 0.01), st.floats(0, 0.1)), max_size=100), share=st.floats(0.01, 0.9),
    burst=st.floats(0, 0.1),
)  # fmt: skip
def test_work_that_pauses_when_it_is_told_to_keeps_its_share(
    steps: list[tuple[float, float]], share: float, burst: float
) -> None:
    allowance, now, done = Allowance(burst, share, 0.0), 0.0, 0.0
    for work, idle in steps:
        now += idle + allowance.pause(now + idle)
        allowance.use(work, now)
        done += work
        assert done <= share * now + burst + work + 1e-6


def test_nothing_pauses_that_has_time_left() -> None:
    allowance = Allowance(0.1, 0.5, 0.0)
    allowance.use(0.1, 0.0)
    assert allowance.pause(0.0) == 0.0
    allowance.use(0.1, 0.0)
    assert allowance.pause(0.0) == pytest.approx(0.2)
    assert allowance.pause(0.2) == 0.0


@pytest.mark.parametrize("longest", [0.25, math.inf])
def test_what_is_used_beyond_the_longest_pause_is_forgiven(longest: float) -> None:
    allowance = Allowance(0.1, 0.5, 0.0, longest=longest)
    allowance.use(1.1, 0.0)
    assert allowance.pause(0.0) == pytest.approx(min(2.0, longest))


def test_an_allowance_that_time_does_not_fill_is_used_up() -> None:
    allowance = Allowance(1.0, 0.0, 0.0)
    assert allowance.use(1.5, 0.0) == -0.5


def test_an_allowance_is_filled_by_time() -> None:
    allowance = Allowance(10.0, 2.0, 100.0)
    assert allowance.use(12.0, 100.0) == -2.0
    assert allowance.left(102.0) == 2.0
    assert allowance.left(1000.0) == 10.0


@given(asks=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 3)), max_size=60))
def test_streams_of_a_client_that_sent_too_fast_begin_apart(asks: list[tuple[str, bool, float]]) -> None:
    restarts, now, refused, begun = Restarts(), 0.0, dict[str, float](), dict[str, float]()
    for client, refuse, idle in asks:
        now += idle
        if refuse:
            restarts.refuse(client, now)
            refused[client] = now
            continue
        pause = restarts.pause(client, now)
        assert pause <= access.LONGEST_RESTART
        if client not in refused:
            assert pause == 0.0
        elif now - refused[client] <= access.REMEMBERED_SECONDS:
            apart = now + pause - begun.get(client, refused[client])
            assert apart >= access.RESTART_SECONDS - 1e-9 or pause == access.LONGEST_RESTART
            begun[client] = now + pause


def test_a_client_that_sent_too_fast_is_forgotten() -> None:
    restarts = Restarts()
    restarts.refuse("a", 0.0)
    seconds = round(access.REMEMBERED_SECONDS)  # also if it starts a stream every second
    assert {restarts.pause("a", float(now)) for now in range(1, seconds)} == {access.RESTART_SECONDS}
    assert restarts.pause("a", seconds + 1.0) == 0.0
    for number in range(2 * access.MOST_REMEMBERED):
        restarts.refuse(f"{number}", 20.0)
    assert len(restarts._known) == access.MOST_REMEMBERED
    assert restarts.pause(f"{2 * access.MOST_REMEMBERED - 1}", 20.0) > 0.0


@pytest.mark.asyncio
@pytest.mark.parametrize("leaves", [False, True], ids=["is refused", "leaves"])
async def test_a_client_that_sent_too_fast_waits_for_its_next_stream_and_another_does_not(
    monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    for name in ("RESTART_SECONDS", "LONGEST_RESTART"):
        monkeypatch.setattr(access, name, 100 * PATIENCE)
    no_refill(monkeypatch)
    monkeypatch.setattr(intake, "LATELY_SECONDS", PATIENCE)
    monkeypatch.setattr(intake, "UNITS_PER_SECOND", 0.0)
    with nothing_left():
        async with serving(tokens=("its", "another")) as server:
            messages = [start(token="its"), *(packet(seq=number) for number in range(6000))]
            if leaves:
                client = RawClient(server.port)
                await client.handshake()
                for message in messages[:900]:  # fewer than are refused
                    await client.message(message)
                await until(lambda: any(connection._socket.intake.was_beyond for connection in connections(server)))
                client.close(reset=True)
                await until(lambda: server.connections == 0)
            else:
                assert (await end_of(server.url, messages))[0] == Close.TOO_FAST
            waiting = asyncio.create_task(end_of(server.url, [start(token="its"), STOP]))
            await until(lambda: server.connections == 1)
            assert (await end_of(server.url, [start(token="another"), STOP]))[0] == Close.NORMAL
            assert not waiting.done()
        assert (await waiting)[0] == Close.RESTART  # the server stops, and does not wait for it


def connections(server: Server) -> list[Connection]:
    return [connection for connection in server._connections.values() if connection is not None]
