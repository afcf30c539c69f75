"""Websockets, and the limits of their sockets: bytes buffered, what is parsed at a time, pings, small fragments.

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
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol
from websockets.typing import DataLike, Subprotocol

from ..protocol.constants import SUBPROTOCOL, Close
from .access import Allowance
from .intake import SLICE_BYTES, Intake, Rounds
from .logs import transport_log
from .metered import HANDSHAKE_SECONDS, metered
from .settings import ServerSettings

#: What the kernel buffers for one client that does not read.
SEND_BUFFER_BYTES = 1 << 16
#: What may wait in a transport. websockets limits what it sends itself, except the answers to pings.
MAX_UNSENT_BYTES = 1 << 20
#: What is read at a time, where asyncio's own loop reads. It is parsed in smaller parts: see intake.py.
MAX_READ_BYTES = 1 << 13
#: Frames that may wait until their message is taken. Beyond that the socket is not read.
MAX_WAITING_FRAMES = 2
#: Fragments of a message.
MOST_FRAGMENTS = 4096
#: Continuations of a message with fewer bytes than this; how many may come at once, and per second. Those of a sensible
#: size are limited by their bytes.
SMALL_FRAGMENT, SMALL_AT_ONCE, SMALL_PER_SECOND = 64, 8192.0, 200.0
#: Pings and pongs that may come at once, and per second.
PINGS_AT_ONCE, PINGS_PER_SECOND = 1000.0, 200.0

#: Calls a function once its turn comes; it returns seconds of work that it leaves to tasks.
TakeTurns = Callable[[Callable[[], float]], None]


class LimitedConnection(ServerConnection):
    """A connection with these limits.

    Until `trust` is called, what comes is parsed slice by slice, each when its turn comes among all that is untrusted.
    Then the connection has an allowance of its own (`Intake`).
    """

    known: dict[ServerConnection, Any]
    take_turns: TakeTurns
    cut: Callable[[ServerConnection, str], None]
    rounds: Rounds
    on_spent: Callable[[LimitedConnection, float], None]

    def connection_made(self, transport: Any) -> None:  # uvloop's is no asyncio.BaseTransport
        socket = transport.get_extra_info("socket")
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(transport, "max_size"):  # of asyncio's own loop
            transport.max_size = MAX_READ_BYTES
        self.known[self] = None
        self._counted = HANDSHAKE_SECONDS  # of what its tasks will take
        self._trusted, self._unparsed, self._has_turn, self._lost = False, bytearray(), False, False
        self._opcode, self._joined, self._fragments = Opcode.CONT, bytearray(), 0  # of a message that is not whole yet
        self.max_queue_high, self.max_queue_low = MAX_WAITING_FRAMES, 0
        super().connection_made(transport)
        self.intake = Intake(self.rounds, super().data_received, transport.pause_reading, self._resume_reading)
        self.recv_messages.pause, self.recv_messages.resume = self.intake.hold, self.intake.release
        now = self.loop.time()
        self.pings = Allowance(PINGS_AT_ONCE, PINGS_PER_SECOND, now)
        self.fragments = Allowance(SMALL_AT_ONCE, SMALL_PER_SECOND, now)

    def _resume_reading(self) -> None:
        """Go on after the intake was held."""
        if self._unparsed:
            self._wait_for_turn()
        else:
            self.transport.resume_reading()

    @property
    def trusted(self) -> bool:
        """Whether the client has authenticated."""
        return self._trusted

    def spend(self, seconds: float) -> None:
        """Count loop time that was spent for this connection, until it has a stream."""
        counted = min(self._counted, seconds)
        self._counted -= counted
        self.on_spent(self, seconds - counted)

    def trust(self) -> None:
        """The client has authenticated."""
        self._trusted = True
        rest, self._unparsed = bytes(self._unparsed), bytearray()
        if rest and not self._lost:
            self.intake.receive(rest)
            if not self.intake.paused:
                self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._trusted:
            self.intake.receive(data)
        elif self.request is None and not self._unparsed:
            super().data_received(data)
        else:
            self._unparsed += data
            self.transport.pause_reading()
            self._wait_for_turn()

    def _wait_for_turn(self) -> None:
        if not (self._has_turn or self.intake.paused):
            self._has_turn = True
            self.take_turns(self._parse_some)

    def _parse_some(self) -> float:
        self._has_turn = False
        if self._lost or not self._unparsed or self.intake.paused:  # gone; trusted; or it goes on when released
            return 0.0
        data = bytes(self._unparsed[:SLICE_BYTES])
        del self._unparsed[:SLICE_BYTES]
        super().data_received(data)
        if self._unparsed:
            self._wait_for_turn()
        elif not self.intake.paused:
            self.transport.resume_reading()
        return 0.0

    async def ping(self, data: DataLike | None = None) -> Awaitable[float]:
        """Ping, and forget the pings before. Nobody waits for an answer, and a client need not give any."""
        self.pending_pings.clear()
        return await super().ping(data)

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            self.intake.count()
            ping = event.opcode in (Opcode.PING, Opcode.PONG)  # websockets answers every ping by itself
            if ping and self.pings.use(1.0, self.loop.time()) < 0:
                self._cut("a flood of pings")
            small = event.opcode is Opcode.CONT and len(event.data) < SMALL_FRAGMENT and not event.fin
            if small and self.fragments.use(1.0, self.loop.time()) < 0:
                self._cut("a flood of small fragments")
            if event.opcode in DATA_OPCODES:
                whole = self._join(event)
                if whole is None:
                    return
                event = whole
        super().process_event(event)

    def _join(self, frame: Frame) -> Frame | None:
        """A message in one frame, when its last one has come. A frame that is kept takes far more than its bytes."""
        if frame.opcode is not Opcode.CONT:
            if frame.fin:
                return frame
            self._opcode, self._fragments = frame.opcode, 0
        self._fragments += 1
        self._joined += frame.data
        if self._fragments > MOST_FRAGMENTS:
            self._cut("too many fragments", Close.TOO_BIG)
        if not frame.fin:
            return None
        data, self._joined = bytes(self._joined), bytearray()
        return Frame(self._opcode, data)

    def _cut(self, why: str, code: Close = Close.TOO_FAST) -> None:
        """Close. Nothing more is parsed, and who does not close the connection then loses it."""
        if self.protocol.state is OPEN:
            if code == Close.TOO_FAST:
                self.cut(self, why)
            self.intake.discard()
            self._unparsed, self._joined = bytearray(), bytearray()
            self.protocol.fail(code, why)
            self.send_data()
            if self._trusted or code != Close.TOO_FAST:
                self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)
            else:
                self.transport.abort()

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
            self.intake.parse_rest(MAX_READ_BYTES)
            super().eof_received()  # else the transport closes by itself, and the rest is done when its turn comes

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.intake.close()
        self.known.pop(self, None)
        if self._trusted:
            super().connection_lost(exc)
        else:  # hundreds may go at once
            self.take_turns(partial(self._end, exc))

    def _end(self, exc: Exception | None) -> float:
        super().connection_lost(exc)
        return 0.0


class Websockets:
    """Makes connections whose requests have been read.

    Args:
        listen: begins to listen, see `admission.listener.Listener`.
        known: connection → None from its first byte to its last; the caller may set another value.
        handle: serves a connection after its handshake.
        refused: called with the HTTP status of a handshake that fails.
        take_turns: see `LimitedConnection`.
        cut: called with a connection that is being cut, and the reason.
        on_spent: called with a connection, and seconds of loop time that its tasks took until it had a stream.
        settings: timeouts, and bytes of a message.

    Attributes:
        server: what the connections belong to.
    """

    def __init__(
        self, listen: Callable[[], Coroutine[Any, Any, Any]], known: dict[ServerConnection, Any],
        handle: Callable[[LimitedConnection], Awaitable[None]], refused: Callable[[int], None], take_turns: TakeTurns,
        cut: Callable[[ServerConnection, str], None], on_spent: Callable[[LimitedConnection, float], None],
        settings: ServerSettings,
    ) -> None:  # fmt: skip
        self.server = WebsocketServer(listen, self._serve, transport_log())
        self._handle, self._refused, self._settings = handle, refused, settings
        self._known, self._take_turns, self._cut, self._rounds = known, take_turns, cut, Rounds()
        self._on_spent = on_spent

    def new(self) -> LimitedConnection:
        """A connection, to be given its transport and its first bytes."""
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=select_subprotocol,
            max_size=self._settings.max_message, logger=transport_log(),
        )  # fmt: skip
        # Pings keep routers awake. A late answer is not a fault: it may wait behind audio that TCP holds back.
        connection = LimitedConnection(
            protocol, self.server, ping_interval=20, ping_timeout=None, close_timeout=self._settings.close_timeout
        )
        connection.known, connection.take_turns = self._known, self._take_turns
        connection.cut, connection.rounds, connection.on_spent = self._cut, self._rounds, self._on_spent
        return connection

    async def _serve(self, connection: Any) -> None:
        await metered(self._serve_to_end(connection), connection.spend)

    async def _serve_to_end(self, connection: Any) -> None:
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
