"""Limits of a socket: bytes buffered for it, bytes and frames taken from it at a time, pings and small fragments.

Knows: websockets' connections and asyncio's transports. Does not know: streams, messages, who may connect.
"""

from __future__ import annotations

import logging
import socket as sockets
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.typing import Subprotocol

from ...errors import ProtocolError
from ..protocol.constants import SUBPROTOCOL, Close
from .access import RateLimit
from .intake import Allowance, Intake, Turns
from .logs import log_event

#: What the kernel buffers for one client that does not read.
SEND_BUFFER_BYTES = 1 << 16
#: What may wait in a transport. websockets limits what it sends itself, except the answers to pings.
MAX_UNSENT_BYTES = 1 << 20
#: What is read at a time, where asyncio's own loop reads. It is parsed in smaller parts: see intake.py.
MAX_READ_BYTES = 1 << 13
#: Frames that may wait until their message is taken. Beyond that the socket is not read.
MAX_WAITING_FRAMES = 2
#: Continuations of a message with fewer bytes than this; how many may come at once, and per second. A message may have
#: 4096 fragments. Those of a sensible size are limited by their bytes.
SMALL_FRAGMENT, SMALL_AT_ONCE, SMALL_PER_SECOND = 64, 8192.0, 200.0


def connection_class(known: dict[ServerConnection, Any]) -> type[ServerConnection]:
    """Make a connection class with these limits, whose connections are in ``known`` from first byte to last.

    Args:
        known: connection → None at first; the caller may set another value.
    """

    turns = Turns()

    class LimitedConnection(ServerConnection):
        def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.BaseTransport
            socket = transport.get_extra_info("socket")
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
            if hasattr(transport, "max_size"):  # of asyncio's own loop
                transport.max_size = MAX_READ_BYTES
            known[self] = None
            self.max_queue_high, self.max_queue_low = MAX_WAITING_FRAMES, 0
            super().connection_made(transport)
            self.intake = Intake(turns, super().data_received, transport.pause_reading, transport.resume_reading)
            self.recv_messages.pause, self.recv_messages.resume = self.intake.hold, self.intake.release
            now = self.loop.time()
            self.pings, self.fragments = RateLimit(now), Allowance(SMALL_AT_ONCE, SMALL_PER_SECOND, now)

        def data_received(self, data: bytes) -> None:
            self.intake.receive(data)

        def process_event(self, event: Event) -> None:
            if isinstance(event, Frame):
                self.intake.count()
                if event.opcode in (Opcode.PING, Opcode.PONG):  # websockets answers every ping by itself
                    try:
                        self.pings.spend(self.loop.time(), 0.0)
                    except ProtocolError:
                        self._cut("a flood of pings")
                small = event.opcode is Opcode.CONT and len(event.data) < SMALL_FRAGMENT and not event.fin
                if small and self.fragments.use(1.0, self.loop.time()) < 0:
                    self._cut("a flood of small fragments")
            super().process_event(event)

        def _cut(self, why: str) -> None:
            """Close with 4429. Nothing more is parsed, and who does not close the connection then loses it."""
            if self.protocol.state is State.OPEN:
                log_event("cut", logging.WARNING, why=why)
                self.intake.discard()
                self.protocol.fail(Close.TOO_FAST, why)
                self.send_data()
                self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)

        def eof_received(self) -> None:
            self.intake.parse_rest(MAX_READ_BYTES)
            super().eof_received()

        def connection_lost(self, exc: Exception | None) -> None:
            known.pop(self, None)
            self.intake.close()
            super().connection_lost(exc)

    return LimitedConnection


def select_subprotocol(socket: ServerConnection, offered: Any) -> Subprotocol | None:
    """This server's subprotocol, if it was offered. Otherwise none, and the client is told after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
