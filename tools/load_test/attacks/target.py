"""What an attacker has in its hands: the address that it attacks, raw connections to it, and a count of what it did.

A connection sends bytes that were made before, as fast as the server takes them.

Knows: sockets, the opening of a websocket. Does not know: what an attack does with them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket as sockets
import struct
from types import TracebackType

from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.protocol.text import Start

from ..clients.raw import text_frame

_READ, _PIECE = 1 << 16, 1 << 16
_RESET = struct.pack("ii", 1, 0)


@dataclasses.dataclass
class Tally:
    """What an attacker did.

    Attributes:
        attempts: of what it does: requests, handshakes, messages.
        bytes: that were sent.
        broken: connections that the server or the network ended early.
        cpu: seconds of its own CPU time. Near the time that passed, the attacker was what limited the attack.
    """

    attempts: int = 0
    bytes: int = 0
    broken: int = 0
    cpu: float = 0.0


class Target:
    """The server under attack.

    Args:
        port: of the server, on loopback.
        token: that the server takes; "" for an attacker without one.
        addresses: how many addresses the attacker connects from. 1: 127.0.0.1, from which honest clients come too.

    Attributes:
        tally: what was done to it so far.
    """

    def __init__(self, port: int, token: str = "", addresses: int = 1) -> None:
        self.port, self.token, self.tally = port, token, Tally()
        sources = ["127.0.0.1"] if addresses == 1 else [f"127.0.1.{number}" for number in range(1, addresses + 1)]
        self._sources = itertools.cycle(sources)

    def connection(self, receive_buffer: int | None = None) -> AttackConnection:
        """A new connection, not open yet. ``receive_buffer``: bytes that the kernel keeps of what is not read."""
        return AttackConnection(self, next(self._sources), receive_buffer)

    def handshake(self, token: str | None = None) -> bytes:
        """The request that opens a websocket. ``token``: in place of the attacker's own."""
        bearer = self.token if token is None else token
        authorization = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        return (
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{authorization}\r\n"
        ).encode()


class AttackConnection:
    """One connection of an attacker. An async context manager: it connects, and in the end resets the connection.

    Every method raises `OSError` where the connection breaks.
    """

    def __init__(self, target: Target, source: str, receive_buffer: int | None) -> None:
        self._target, self._source, self._loop = target, source, asyncio.get_running_loop()
        self._socket = sockets.socket()
        self._socket.setblocking(False)
        if receive_buffer is not None:
            self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)

    async def __aenter__(self) -> AttackConnection:
        try:
            if self._source != "127.0.0.1":
                self._socket.bind((self._source, 0))
            await self._loop.sock_connect(self._socket, ("127.0.0.1", self._target.port))
            self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket.fileno() >= 0:
            self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
            self._socket.close()

    def close(self) -> None:
        """Close the connection in the usual way, so that what was sent still arrives."""
        self._socket.close()

    async def send(self, data: bytes) -> None:
        """Send bytes; returns when the kernel has taken them all."""
        view = memoryview(data)
        for at in range(0, len(data), _PIECE):
            piece = view[at : at + _PIECE]
            await self._loop.sock_sendall(self._socket, piece)
            self._target.tally.bytes += len(piece)

    async def receive(self) -> bytes:
        """The next bytes; raises `ConnectionError` at the end."""
        data = await self._loop.sock_recv(self._socket, _READ)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to the bytes that hold ``mark``."""
        found = b""
        while mark not in found:
            found += await self.receive()
        return found

    async def discard(self) -> None:
        """Read until the server says ``error`` or closes the connection."""
        while b'"error"' not in await self.receive():
            pass

    async def to_end(self) -> None:
        """Read until the server closes the connection."""
        while await self._loop.sock_recv(self._socket, _READ):
            pass

    async def open(self, start: Start) -> bytes:
        """Open the websocket and a stream, and wait for ``ready``. Returns all that came."""
        text = start.to_json()
        await self.send(self._target.handshake() + text_frame(text))
        return await self.until(b'"ready"')
