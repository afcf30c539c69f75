"""A TLS connection that is lost has no socket any more, a turn of the loop before its protocol is told."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from streamrvq.system.tcp import tcp_state
from tests.support.patience import PATIENCE
from tests.support.service import connect_raw, serving, start, until

pytestmark = pytest.mark.asyncio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"


async def lose(transport: Any) -> None:
    """Abort a transport, and come back in the turn in which it has no socket."""
    transport.abort()
    async with asyncio.timeout(PATIENCE):
        while transport.get_extra_info("socket") is not None:
            await asyncio.sleep(0)


async def test_a_websocket_may_be_lost_while_deadlines_are_looked_at(tls: tuple[Path, Path, ssl.SSLContext]) -> None:
    chain, key, trusting = tls
    async with serving(tls_certificate=chain, tls_key=key) as server:
        async with connect_raw(server.url, subprotocols=["streamrvq.v1"], compression=None, ssl=trusting) as ws:
            await ws.send(start())
            await ws.recv()
            ((socket, connection),) = server._connections.items()
            assert connection is not None
            await lose(socket.transport)
            assert socket in server._connections  # it has not been told
            assert not socket.reset
            connection.check_deadlines(asyncio.get_running_loop().time())
        await until(lambda: not server.connections)


async def test_a_client_may_be_lost_when_its_request_is_answered(tls: tuple[Path, Path, ssl.SSLContext]) -> None:
    chain, key, trusting = tls
    async with serving(tls_certificate=chain, tls_key=key) as server:
        assert server._admission is not None
        listener = server._admission.listener
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        writer.write(REQUEST[:-2])
        await until(lambda: any(arrival.head for arrival in listener._waiting))
        (arrival,) = listener._waiting
        await lose(arrival.transport)
        arrival.head = REQUEST
        assert arrival.over
        listener._answer_in_turn(arrival)
        assert not arrival.left  # nobody would tell a websocket that it is lost
        writer.transport.abort()
        await until(lambda: not server.connections)


async def test_no_socket_has_no_state() -> None:
    assert tcp_state(None) is None
