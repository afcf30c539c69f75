"""Limits of a socket: bytes buffered for it, bytes read from it at a time, and pings.

Knows: websockets' connections and asyncio's transports. Does not know: streams, messages, who may connect.
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

#: What the kernel buffers for one client that does not read.
SEND_BUFFER_BYTES = 1 << 16
#: What may wait in a transport. websockets limits what it sends itself, except the answers to pings.
MAX_UNSENT_BYTES = 1 << 20
#: What is read at a time. It may hold thousands of frames, and the event loop stops until they are parsed: asyncio's
#: own 256 KiB of empty frames take most of a second.
MAX_READ_BYTES = 1 << 13


def connection_class(known: dict[ServerConnection, Any]) -> type[ServerConnection]:
    """Make a connection class with these limits, whose connections are in ``known`` from first byte to last.

    Args:
        known: connection → None at first; the caller may set another value.
    """

    class LimitedConnection(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            socket = transport.get_extra_info("socket")
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(transport, "max_size"):  # of asyncio's own loop
                transport.max_size = MAX_READ_BYTES
            known[self] = None
            self.pings = RateLimit(self.loop.time())
            super().connection_made(transport)

        def process_event(self, event: Event) -> None:
            # websockets answers every ping by itself
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

    return LimitedConnection


def select_subprotocol(socket: ServerConnection, offered: Any) -> Subprotocol | None:
    """This server's subprotocol, if it was offered. Otherwise none, and the client is told after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
