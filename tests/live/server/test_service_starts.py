"""A server is entered once: nothing of it starts a second time, and one that could not start may try again."""

from __future__ import annotations

import asyncio
import socket

import pytest

import streamrvq
from streamrvq import ServiceError, StreamClosedError
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import serving
from tests.support.shell import nothing_left

pytestmark = pytest.mark.asyncio


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


async def test_what_has_not_started_is_neither_stopped_nor_reloaded() -> None:
    server = serving(tokens=("old",))
    with pytest.raises(StreamClosedError, match="stop before the server has started"):
        await server.stop()
    with pytest.raises(StreamClosedError, match="reload before the server has started"):
        server.reload(("new",))
    assert server.settings.tokens == ("old",)
    async with asyncio.timeout(PATIENCE), server, streamrvq.connect(server.url, token="old") as stream:
        await stream.stop()
