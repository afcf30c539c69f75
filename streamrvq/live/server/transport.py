"""Websockets, and the limits of their sockets: bytes buffered, bytes read at a time, pings, untrusted work.

Knows: websockets' connections and asyncio's transports. Does not know: streams, messages, who may connect.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ...errors import ProtocolError
from ..protocol.constants import SUBPROTOCOL
from .access import RateLimit
from .logs import transport_log
from .settings import ServerSettings

#: What the kernel buffers for one client that does not read.
SEND_BUFFER_BYTES = 1 << 16
#: What may wait in a transport. websockets limits what it sends itself, except the answers to pings.
MAX_UNSENT_BYTES = 1 << 20
#: What is read at a time. It may hold thousands of frames, and the event loop stops until they are parsed: asyncio's
#: own 256 KiB of empty frames take most of a second.
MAX_READ_BYTES = 1 << 13


#: What is parsed at a time of what comes before the client is trusted: at most some 80 frames.
_UNTRUSTED_BYTES = 512

#: Seconds of loop time that tasks take to end a connection.
_END_COST = 0.0003

#: Calls a function once its turn comes; it returns seconds of work that it leaves to tasks.
TakeTurns = Callable[[Callable[[], float]], None]


class LimitedConnection(ServerConnection):
    """A connection with these limits.

    Until `trust` is called, what comes is parsed little by little, each part when its turn comes.
    """

    known: dict[ServerConnection, Any]
    take_turns: TakeTurns
    cut: Callable[[ServerConnection, str], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        socket = transport.get_extra_info("socket")
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(transport, "max_size"):  # of asyncio's own loop
            transport.max_size = MAX_READ_BYTES
        self.known[self] = None
        self.pings = RateLimit(self.loop.time())
        self._trusted, self._unparsed, self._lost = False, b"", False
        super().connection_made(transport)

    def trust(self) -> None:
        """The client has authenticated."""
        self._trusted = True

    def data_received(self, data: bytes) -> None:
        if (self._trusted or self.request is None) and not self._unparsed:
            super().data_received(data)
            return
        waits = bool(self._unparsed)
        self._unparsed += data
        if not waits:
            self.transport.pause_reading()
            self.take_turns(self._parse_some)

    def _parse_some(self) -> float:
        if self._lost:
            return 0.0
        most = len(self._unparsed) if self._trusted else _UNTRUSTED_BYTES
        data, self._unparsed = self._unparsed[:most], self._unparsed[most:]
        super().data_received(data)
        if self._unparsed:
            self.take_turns(self._parse_some)
        elif not self.recv_messages.paused:  # else websockets resumes, when its queue has room
            self.transport.resume_reading()
        return 0.0

    def process_event(self, event: Event) -> None:
        # websockets answers every ping by itself
        if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
            try:
                self.pings.spend(self.loop.time(), 0.0)
            except ProtocolError:
                if not self.transport.is_closing():
                    self.cut(self, "a flood of pings")
                self.transport.abort()
        super().process_event(event)

    def send_data(self) -> None:
        """Write what there is to be written, all frames at once: asyncio logs each write to a lost client."""
        waiting = self.protocol.writes
        if self.transport.is_closing():
            waiting.clear()
        elif len(waiting) > 1:  # an empty one at the end closes this direction
            self.protocol.writes = [b"".join(waiting), *([b""] if not waiting[-1] else [])]
        super().send_data()

    def eof_received(self) -> None:
        if self._trusted:
            super().eof_received()  # else the transport closes by itself, and the rest is done when its turn comes

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.known.pop(self, None)
        if self._trusted:
            super().connection_lost(exc)
        else:  # hundreds may go at once
            self.take_turns(partial(self._end, exc))

    def _end(self, exc: Exception | None) -> float:
        super().connection_lost(exc)
        return _END_COST


class Websockets:
    """Makes connections whose requests have been read.

    Args:
        listen: begins to listen, see `admission.listener.Listener`.
        known: connection → None from its first byte to its last; the caller may set another value.
        handle: serves a connection after its handshake.
        refused: called with the HTTP status of a handshake that fails.
        take_turns: see `LimitedConnection`.
        cut: called with a connection that is being cut, and the reason.
        settings: timeouts, and bytes of a message.

    Attributes:
        server: what the connections belong to.
    """

    def __init__(
        self, listen: Callable[[], Coroutine[Any, Any, Any]], known: dict[ServerConnection, Any],
        handle: Callable[[LimitedConnection], Awaitable[None]], refused: Callable[[int], None], take_turns: TakeTurns,
        cut: Callable[[ServerConnection, str], None], settings: ServerSettings,
    ) -> None:  # fmt: skip
        self.server = WebsocketServer(listen, self._serve, transport_log())
        self._handle, self._refused, self._settings = handle, refused, settings
        parts = {"known": known, "take_turns": staticmethod(take_turns), "cut": staticmethod(cut)}
        self._class = type("Connection", (LimitedConnection,), parts)

    def new(self) -> LimitedConnection:
        """A connection, to be given its transport and its first bytes."""
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=select_subprotocol,
            max_size=self._settings.max_message, logger=transport_log(),
        )  # fmt: skip
        # Pings keep routers awake. A late answer is not a fault: it may wait behind audio that TCP holds back.
        connection: LimitedConnection = self._class(
            protocol, self.server, ping_interval=20, ping_timeout=None, close_timeout=self._settings.close_timeout
        )
        return connection

    async def _serve(self, connection: Any) -> None:
        """Serve a connection from its handshake to its end; it is closed then."""
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                await connection.handshake()
            if connection.protocol.state is not OPEN:
                if connection.response is not None:
                    self._refused(connection.response.status_code)
                connection.transport.abort()
                return
            connection.start_keepalive()
            async with connection:
                await self._handle(connection)
        except Exception:  # the handshake took too long, or the client has gone; `handle` logs its own failures
            connection.transport.abort()
        finally:
            self.server.handler_tasks.discard(asyncio.current_task())


def select_subprotocol(protocol: Any, offered: Any) -> Subprotocol | None:
    """This server's subprotocol, if it was offered. Otherwise none, and the client is told after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
