"""A server that accepts the connection and then stalls: whoever gives up waits no longer, and no socket is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

import streamrvq
from streamrvq import ProtocolError, ServiceError
from streamrvq.live.client.connection import Connection
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.protocol.text import Start
from streamrvq.live.server.handshake import ready_message
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL
from tests.support.shell import nothing_left

#: A time that nothing here waits for.
LONG = 2 * PATIENCE
READY = ready_message(CAUSAL, "session", Start(mode="encode"), 1 << 20, 60.0).to_json()


class Stalled:
    """A server that reads one message of a connection, and then nothing more.

    Args:
        answers: to the first messages of its first connections.
        cuts: cut those connections, and let only the next one wait.
    """

    def __init__(self, *answers: str | bytes, cuts: bool = False) -> None:
        self._answers, self._cuts, self.url = list(answers), cuts, ""
        self.stalls, self._over = asyncio.Event(), asyncio.Event()

    async def serve(self, socket: ServerConnection) -> None:
        await socket.recv()
        answered = bool(self._answers)
        if answered:
            await socket.send(self._answers.pop(0))
        if not (answered and self._cuts):
            socket.transport.pause_reading()  # so it does not answer a close either
            self.stalls.set()
            await self._over.wait()
        socket.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stalled]:
        async with serve(self.serve, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], ping_interval=None) as server:  # type: ignore[list-item]
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                yield self
            finally:
                self._over.set()


async def ended(task: asyncio.Task[Any]) -> None:
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.done()


@pytest.mark.asyncio
async def test_a_cancelled_opening_does_not_wait_for_a_close() -> None:
    async with Stalled().running() as server:
        opening = asyncio.create_task(streamrvq.connect(server.url, timeout=LONG).__aenter__())
        await server.stalls.wait()
        opening.cancel()
        await ended(opening)
        assert opening.cancelled()


@pytest.mark.asyncio
async def test_leaving_while_a_connection_is_resumed_does_not_wait_for_it() -> None:
    async def use() -> None:
        async with streamrvq.connect(server.url, timeout=LONG, resume=LONG):
            await server.stalls.wait()

    async with Stalled(READY, cuts=True).running() as server:
        using = asyncio.create_task(use())
        await ended(using)
        using.result()


def closes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that each close may take from now on."""
    seen: list[float] = []
    close = Connection.close

    async def seen_close(self: Connection, seconds: float) -> None:
        seen.append(seconds)
        await close(self, min(seconds, 0.1))

    monkeypatch.setattr(Connection, "close", seen_close)
    return seen


@pytest.mark.asyncio
async def test_the_close_after_a_timeout_takes_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = closes(monkeypatch)
    async with Stalled().running() as server:
        with pytest.raises(ServiceError, match="did not answer within"):
            await streamrvq.connect(server.url, timeout=0.2).__aenter__()
    assert seen == [0.0]


@pytest.mark.asyncio
async def test_a_first_message_that_is_binary_leaves_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = closes(monkeypatch)
    with nothing_left():
        async with Stalled(b"binary").running() as server:
            with pytest.raises(ProtocolError, match="first message was binary"):
                await streamrvq.connect(server.url, timeout=PATIENCE).__aenter__()
    (left,) = seen
    assert 0 < left < PATIENCE  # of the time that opening may take


@pytest.mark.asyncio
async def test_a_close_that_is_cancelled_cuts_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[Connection] = []
    closing = asyncio.Event()
    close = Connection.close

    async def seen_close(self: Connection, seconds: float) -> None:
        connections.append(self)
        asyncio.get_running_loop().call_soon(closing.set)  # when it waits
        await close(self, LONG)

    async def use() -> None:
        async with streamrvq.connect(server.url, timeout=LONG, resume=0):
            await server.stalls.wait()

    monkeypatch.setattr(Connection, "close", seen_close)
    async with Stalled(READY).running() as server:
        using = asyncio.create_task(use())
        await closing.wait()
        using.cancel()
        await ended(using)
        assert using.cancelled()
        assert connections[0]._socket.transport.is_closing()
