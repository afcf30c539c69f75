"""A socket's side of the server: what is held for it, what is read of it at a time, and how many pings it may send.

Knows: websockets' connections and transports. Does not know: streams, messages, who may come.
"""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.typing import Subprotocol

from ...errors import ProtocolError
from ..protocol.constants import SUBPROTOCOL
from .access import RateLimit
from .logs import log_event

# Of what the kernel holds for one client that does not read, and of what websockets may hold beyond its own limit (it
# answers pings without regard to it). Of what is read at a time: thousands of frames may be in it, and the loop waits
# until they have been parsed (asyncio's own 256 KiB of empty frames take it most of a second). In bytes.
SEND_BUFFER, MOST_UNSENT, READ = 1 << 16, 1 << 20, 1 << 13


def registered(known: dict[ServerConnection, Any]) -> type[ServerConnection]:
    """A connection that is in ``known`` from its first byte to its last."""

    class Registered(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            socket = transport.get_extra_info("socket")
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER)
            if hasattr(transport, "max_size"):  # of asyncio's own loop
                transport.max_size = READ
            known[self] = None
            self.pings = RateLimit(self.loop.time())
            super().connection_made(transport)

        def process_event(self, event: Event) -> None:
            # websockets answers pings by itself, as many as come
            if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
                try:
                    self.pings.spend(self.loop.time(), 0.0)
                except ProtocolError:
                    if not self.transport.is_closing():
                        log_event("cut", logging.WARNING, why="a flood of pings")
                    self.transport.abort()
            super().process_event(event)

        def connection_lost(self, exc: Exception | None) -> None:
            known.pop(self, None)
            super().connection_lost(exc)

    return Registered


def select(socket: ServerConnection, offered: Any) -> Subprotocol | None:
    """Ours if it was offered; else none, which is answered in words after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
