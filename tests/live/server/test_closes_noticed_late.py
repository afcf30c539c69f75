"""A connection that the websocket layer closes, on a machine so busy that the server's own task comes later."""

import asyncio
import json

import pytest

from tests.support.patience import DEADLINE, PATIENCE
from tests.support.plain_client import raw
from tests.support.service import end_of, serving, start, until


@pytest.mark.asyncio
async def test_a_close_by_the_server_counts_though_a_reset_is_noticed_first(monkeypatch):
    """Its stream has ended, and is not parked as one whose connection was lost."""
    async with serving(close_timeout=PATIENCE, stop_timeout=DEADLINE) as server, asyncio.timeout(PATIENCE):
        async with raw(server, start()) as client:
            session = client.texts[0]["session"]
            ((socket, connection),) = server._connections.items()
            socket.protocol.fail(1009, "too many fragments")
            monkeypatch.setattr(type(socket), "reset", property(lambda self: True))
            connection.check_deadlines(asyncio.get_running_loop().time())
            await until(lambda: server.connections == server.streams == 0)
        assert server.sessions.parked == 0
        monkeypatch.undo()
        resume = json.dumps({"type": "resume", "version": 1, "session": session, "next_frame": 0})
        assert (await end_of(server.url, [resume]))[0] == 4404
