"""A drain that begins while a client does."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.server import connection as connection_module
from tests.support.patience import PATIENCE
from tests.support.service import connect_raw, serving, start


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
