"""How a server begins and ends: a drain that begins while a client does, and a start that is one too many."""

import asyncio
import contextlib
import socket

import pytest
from websockets.exceptions import ConnectionClosed

import streamrvq
from streamrvq import ServiceError, StreamClosedError
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.server import connection as connection_module
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import connect_raw, serving, start
from tests.support.shell import nothing_left


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(5))
async def test_a_drain_right_after_the_first_message_is_told(monkeypatch, turns):
    """So many turns of the loop after the server has read it."""
    first_message, loop = connection_module.first_message, asyncio.get_running_loop()

    async with serving(stop_timeout=PATIENCE, drain_timeout=0.1) as server, asyncio.timeout(PATIENCE):

        def stop_in(left):
            loop.call_soon(stop_in, left - 1) if left else stopping.append(asyncio.ensure_future(server.stop()))

        def first(*arguments):
            stop_in(turns)
            return first_message(*arguments)

        stopping = []
        monkeypatch.setattr(connection_module, "first_message", first)
        async with connect_raw(server.url, subprotocols=[SUBPROTOCOL], compression=None) as client:
            await client.send(start())
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.recv()
            assert client.close_code == 1012
        await stopping[0]


@pytest.mark.asyncio
async def test_a_server_that_has_stopped_or_runs_is_not_entered_again() -> None:
    with nothing_left():
        async with asyncio.timeout(PATIENCE), serving() as server:
            with pytest.raises(StreamClosedError, match="entered before"):
                await server.__aenter__()
            async with streamrvq.connect(server.url) as stream:  # it was not disturbed
                await stream.send(noise(640))
                await stream.stop()
                assert [item async for item in stream]
        with pytest.raises(StreamClosedError, match="entered before"):
            await server.__aenter__()


@pytest.mark.asyncio
async def test_a_server_that_could_not_start_may_be_entered_again() -> None:
    with nothing_left():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            server = serving(port=taken.getsockname()[1])
            with pytest.raises(ServiceError, match="cannot listen"):
                await server.__aenter__()
            starting = asyncio.create_task(server.__aenter__())
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        async with asyncio.timeout(PATIENCE), server, streamrvq.connect(server.url) as stream:
            await stream.stop()
            assert [item async for item in stream] == []


@pytest.mark.asyncio
async def test_what_has_not_started_is_neither_stopped_nor_reloaded() -> None:
    server = serving(tokens=("old",))
    with pytest.raises(StreamClosedError, match="stop before the server has started"):
        await server.stop()
    with pytest.raises(StreamClosedError, match="reload before the server has started"):
        server.reload(("new",))
    assert server.settings.tokens == ("old",)
    async with asyncio.timeout(PATIENCE), server, streamrvq.connect(server.url, token="old") as stream:
        await stream.stop()
