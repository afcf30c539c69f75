"""The end of a connection: why, in words and as a code; an abort where the client does not answer.

Knows: the deadlines of a close. Does not know: who ends a connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed
from websockets.protocol import OPEN

from ..protocol.constants import Close
from ..protocol.text import Error

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


class ConnectionLostError(Exception):
    """The client cannot be reached over this connection any more."""

    code = Close.LOST


class RoomWantedError(ConnectionLostError):
    """The client has not authenticated, and another one needs its place."""

    code = Close.FULL


class ServerDrainingError(Exception):
    """The server is going down."""


async def close_with_reason(
    socket: ServerConnection, code: Close, why: str, send_timeout: float, timeout: float
) -> None:
    """Send the reason and close. Abort where the client does not read, or does not answer the close.

    Args:
        socket: the connection.
        code: the close code; with `Close.NORMAL` no `error` message is sent.
        why: the reason, in words.
        send_timeout: seconds for the client to take the `error` message.
        timeout: seconds for the client to answer the close.

    Raises:
        ConnectionClosed: the client closed first.
    """
    # websockets, and its close too, would wait for ever for a client that does not read.
    if code != Close.NORMAL:
        try:
            async with asyncio.timeout(send_timeout):
                await socket.send(Error(code=int(code), message=why[:2000]).to_json())
        except TimeoutError:
            socket.transport.abort()
            return
    # The client's answer to the close comes after what it still sends, so that must be read.
    discarding = asyncio.create_task(_discard_messages(socket))
    try:
        async with asyncio.timeout(timeout):
            await socket.close(code, _close_frame_reason(why))
    except TimeoutError:
        socket.transport.abort()
    finally:
        discarding.cancel()
        await asyncio.wait([discarding])


def give_way(socket: ServerConnection) -> RoomWantedError:
    """Cut a connection whose place is needed. The client is told so, and not waited for. Returns the reason."""
    why = "other clients need the place; connect again and send the token sooner, best in the handshake"
    if socket.protocol.state is OPEN:
        with suppress(Exception):  # it may be lost, or closing
            socket.protocol.send_text(Error(code=int(Close.FULL), message=why).to_json().encode())
            socket.protocol.send_close(Close.FULL, _close_frame_reason(why))
            socket.send_data()
    socket.transport.abort()
    return RoomWantedError(why)


def how_closed(socket: ServerConnection) -> tuple[Close, str]:
    """The code and the reason of a connection that the client, or the websocket layer, ended.

    `Close.LOST` only where nobody sent a close. Whoever sends one ends the stream, whether it is answered or not, and
    whatever its code.
    """
    protocol = socket.protocol
    close = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent or protocol.close_rcvd
    if close is None:
        return Close.LOST, f"closed from outside with {socket.close_code}"
    known = Close(close.code) if close.code in set(Close) - {Close.LOST} else Close.NORMAL
    return known, f"closed from outside with {close.code}"


def is_closing(socket: ServerConnection) -> bool:
    """Whether the server, its websocket layer or the client has sent a close; not whether the connection was lost."""
    return socket.protocol.close_sent is not None or socket.protocol.close_rcvd is not None


async def _discard_messages(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
            await asyncio.sleep(0)  # `recv` does not wait for messages that are here already


def _close_frame_reason(why: str) -> str:
    """As much of a reason as fits a close frame: 123 bytes."""
    return why.encode("ascii", "replace")[:123].decode()
