"""Websockets, and the limits of their sockets: bytes buffered, what is parsed at a time, pings, small fragments.

Knows: websockets' connections and asyncio's transports. Does not know: streams, messages, who may connect.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.typing import DataLike

from ...system.tcp import CLOSED, tcp_state
from ..protocol.constants import Close
from .access import Allowance
from .intake import SLICE_BYTES, Intake, Rounds
from .metered import END_SECONDS, HANDSHAKE_SECONDS

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

#: For how long the loop time that a connection costs counts against handshakes.
YOUNG_SECONDS = 1.0

#: Calls a function once its turn comes; it returns seconds of work that it leaves to tasks.
TakeTurns = Callable[[Callable[[], float]], None]


class LimitedConnection(ServerConnection):
    """A connection with these limits.

    ``on_lost`` is called when it is lost. Its user may wait for something else then, and not read.

    Until `trust` is called, what comes is parsed slice by slice, each when its turn comes among all that is untrusted.
    Then the connection has an allowance of its own (`Intake`).
    """

    known: dict[LimitedConnection, Any]
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
        self._made, self._young, self._counted = self.loop.time(), True, HANDSHAKE_SECONDS
        self._trusted, self._unparsed, self._has_turn, self._lost = False, bytearray(), False, False
        self._served = self._ended = False
        self.on_lost: Callable[[], None] = _ignore
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

    def counts(self) -> bool:
        """Whether `spend` may count what is spent now."""
        return self._young or self.intake.used_up

    def spend(self, seconds: float) -> None:
        """Count loop time that was spent for this connection: beyond its allowance, and while it is young.

        One young connection after another may cost much.
        """
        self.intake.spend(seconds)
        self._young = self._young and self.loop.time() - self._made <= YOUNG_SECONDS
        counted = min(self._counted, seconds)  # when the connection's turn came
        self._counted -= counted
        self.rounds.load.others(seconds - counted)
        if self._young:
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

    @property
    def reset(self) -> bool:
        """Whether the client has reset the connection. While nothing is read, asyncio does not notice. Linux tells."""
        return tcp_state(self.transport.get_extra_info("socket")) == CLOSED

    def served(self) -> None:
        """Its task has ended."""
        self._served, self.on_lost = True, _ignore
        self._let_go()

    def _let_go(self) -> None:
        """Drop what would keep an ended connection in memory until garbage is collected: generators and tracebacks."""
        if self._served and self._ended:
            self.protocol.parser.close()
            for error in (getattr(self, "connection_exc", None), self.protocol.parser_exc, self.protocol.handshake_exc):
                if error is not None:
                    error.__traceback__ = error.__context__ = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.intake.close()
        self.known.pop(self, None)
        if self._trusted:
            self._end(exc)
        else:  # hundreds may go at once
            self.take_turns(partial(self._end_in_turn, exc))

    def _end_in_turn(self, exc: Exception | None) -> float:
        self._counted += END_SECONDS
        self._end(exc)
        return END_SECONDS

    def _end(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ended = True
        self.on_lost()
        self._let_go()


def _ignore() -> None:
    """`LimitedConnection.on_lost` of a connection without a user."""
