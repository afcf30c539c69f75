"""The end of a connection: why, in words and as a code, and cut where the client does not answer.

Knows: deadlines of a close. Does not know: why it ends.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from ..protocol.constants import Close
from ..protocol.text import Error

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


async def close_with_reason(
    socket: ServerConnection, code: Close, why: str, send_timeout: float, timeout: float
) -> None:
    """Say why, and close; cut the connection where the client does not take it or does not answer.

    Raises:
        ConnectionClosed: the client was faster.
    """
    # websockets waits without a limit for a client that does not read, and so would its close
    if code != Close.NORMAL:
        try:
            async with asyncio.timeout(send_timeout):
                await socket.send(Error(code=int(code), message=why[:2000]).to_json())
        except TimeoutError:
            socket.transport.abort()
            return
    # What the client still sends is read and passed over: its answer to the close comes behind it.
    passing = asyncio.create_task(_pass_over(socket))
    try:
        async with asyncio.timeout(timeout):
            await socket.close(code, _reason(why))
    except TimeoutError:
        socket.transport.abort()
    finally:
        passing.cancel()
        await asyncio.wait([passing])


def peer(socket: ServerConnection) -> str:
    """Who is at the other end, for the log."""
    address = socket.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


def how_closed(socket: ServerConnection) -> tuple[Close, str]:
    """How the client, or the websocket layer, ended the connection."""
    code = socket.close_code
    known = Close(code) if code in set(Close) else Close.NORMAL if code == 1001 else Close.LOST
    return known, f"closed from outside with {code}"


async def _pass_over(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
            await asyncio.sleep(0)  # what has arrived already is given without a wait


def _reason(why: str) -> str:
    """As much of a sentence as a close frame holds: 123 bytes."""
    return why.encode("ascii", "replace")[:123].decode()
