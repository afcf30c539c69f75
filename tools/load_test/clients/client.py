"""A client as cheap as one can be, so that one core carries many: a message costs it a few microseconds each way.

It writes websocket frames itself (masked with zeros, which costs the server the same) and keeps what comes as bytes;
only order and positions are looked at while it runs. The handshake is the websocket library's. It never comes back by
itself: what does that is real.py.

Knows: one connection, and the ways in which it can misbehave. Does not know: when to send (pacer.py), what is right
(verify.py), why it misbehaves (faults.py).
"""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import struct
import time
from collections.abc import Callable
from typing import Any

from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from streamrvq.live.protocol.binary import FINAL, HEADER, PayloadKind
from streamrvq.live.protocol.constants import SUBPROTOCOL, Close
from streamrvq.live.protocol.text import Drain, Start, Stop

from ..errors import LoadError
from ..record import End, Record
from .material import Lap

_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_MASKED = 0x80
_OPENING = 30.0  # seconds
#: Bytes that the kernel holds for a client that does not read: a small device's. Left alone it holds megabytes, and a
#: client that never reads would go unnoticed for minutes.
_RECEIVE_BUFFER = 1 << 13
#: And of what it sends: else megabytes wait there when a client that sends as fast as it can is told to stop.
_SEND_BUFFER = 1 << 16


def frame(head: int, size: int) -> bytes:
    """The beginning of a client's websocket frame with ``size`` bytes, masked with zeros."""
    if size < 126:
        return struct.pack("!BB4x", head, _MASKED | size)
    return struct.pack("!BBH4x", head, _MASKED | 126, size)


class Client(asyncio.Protocol):
    """One stream over one connection, with everything that came and went kept in a record.

    Args:
        record: where everything goes.
        lap: what is sent.
        greedy: called when more can be sent; for clients that send as fast as the server reads.
        on_drain: what it does when the server says that it goes: ``"stop"`` as the protocol asks, or ``"silence"``.
    """

    def __init__(
        self, record: Record, lap: Lap, greedy: Callable[[Client], None] | None = None, on_drain: str = "stop"
    ) -> None:
        self.record, self._lap, self._greedy, self._on_drain = record, lap, greedy, on_drain
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.writable, self.stopped, self.leaving = True, False, False
        self.deaf = False
        self._handshake: ClientProtocol | None = None
        self._rest, self._seq_in, self._seq_out = b"", 0, 0
        self._head = frame(_BINARY, HEADER.size + 2 * record.block)

    async def open(self, url: str) -> None:
        """Connect, introduce itself, be answered. Raises `LoadError` if that fails."""
        uri, loop = parse_uri(url), asyncio.get_running_loop()
        self._socket = sockets.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
        self._handshake = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)])
        try:
            async with asyncio.timeout(_OPENING):
                await loop.sock_connect(self._socket, (uri.host, uri.port))
                self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
                await loop.create_connection(lambda: self, sock=self._socket)
                await self.opened
        except (OSError, TimeoutError) as error:
            raise LoadError(f"stream {self.record.number} could not be opened: {str(error) or 'no answer'}") from None

    # ------------------------------------------------------------- sending

    def send(self, now: float) -> None:
        """The next message."""
        record = self.record
        samples = self._lap.wire(record.offset + record.samples, record.block)
        header = HEADER.pack(PayloadKind.PCM, 0, 0, self._seq_out & 0xFFFFFFFF, record.samples)
        self._transport.write(b"".join((self._head, header, samples)))
        self._seq_out += 1
        record.samples += record.block
        record.sent.append(now)

    def shout(self, now: float) -> None:
        """Messages of a client that never reads: faster than real time, with markers, whose echo is long. As long as
        the server reads."""
        for number in range(3):
            if self.writable and not self._transport.is_closing():
                self.send(now)
                if len(self.record.sent) % 2:  # so that never more than the server allows wait to be echoed
                    self._text(json.dumps({"type": "marker", "id": f"{number:064d}"}))

    def stop(self) -> None:
        """That was all."""
        if not self.stopped:
            self.stopped = True
            self._text(Stop().to_json())

    def _text(self, text: str) -> None:
        self._transport.write(frame(_TEXT, len(text)) + text.encode())

    # ------------------------------------------------------------- misbehaving

    def kill(self) -> None:
        """Gone without a word: RST."""
        self._leave()
        if self._transport.is_closing():
            return
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def cut(self) -> None:
        """Gone in the middle of a message."""
        self._leave()
        self._transport.write(self._head + bytes(self.record.block))
        self._transport.close()

    def _leave(self) -> None:
        self.leaving = self.stopped = True
        self.record.ends(End.LEFT)
        self.record.expected = frozenset({End.LEFT})

    def stall(self, seconds: float) -> None:
        """Read nothing for a while, and send on."""
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def deafen(self) -> None:
        """Never read again: the server has to cut it off."""
        self._transport.pause_reading()
        self.record.expected = frozenset({End.LOST})
        self.deaf = True

    # ------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: Any) -> None:
        """The socket is open."""
        self._transport: asyncio.Transport = transport
        assert self._handshake is not None
        self._handshake.send_request(self._handshake.connect())
        transport.write(b"".join(self._handshake.data_to_send()))

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        now = time.perf_counter()
        if self._handshake is not None:
            self._shake(data)
            return
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 2:
            length, body = data[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length > 126:
                self._broken("a frame that no server of ours sends")
                return
            if size < body + length:
                break
            self._frame(data[at], data[body : body + length], now)
            at = body + length
        self._rest = data[at:]

    def _shake(self, data: bytes) -> None:
        handshake = self._handshake
        assert handshake is not None
        handshake.receive_data(data)
        if handshake.handshake_exc is not None:
            self._fail(f"the handshake was refused: {handshake.handshake_exc}")
        elif handshake.state is State.OPEN:
            self._handshake = None
            self._text(Start(mode="encode", sample_rate=self._lap.rate, format="s16le").to_json())

    def _frame(self, head: int, data: bytes, now: float) -> None:
        if head == _BINARY:
            self._codes(data, now)
        elif head == _TEXT:
            self._message(json.loads(data))
        elif head == _PING:
            self._transport.write(frame(_PONG, len(data)) + data)
        elif head == _CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            self._transport.write(frame(_CLOSE, len(data)) + data)
            self._transport.close()
            self.record.code = code
            if code == Close.NORMAL and self.record.told is not None:
                self.record.ends(End.DONE, code=code)
            else:
                self.record.ends(End.CLOSED, self.record.why or data[2:].decode(errors="replace"), code)
        elif head != _PONG:
            self._broken(f"a frame that begins with {head:#x}")

    def _codes(self, data: bytes, now: float) -> None:
        record = self.record
        kind, flags, levels, seq, pos = HEADER.unpack_from(data)
        frames, rest = divmod(len(data) - HEADER.size, 2 * levels or 1)
        if kind != PayloadKind.CODES or rest or (record.levels and levels != record.levels):
            self._broken(f"a message of kind {kind} with {levels} levels and {len(data)} bytes")
        elif seq != self._seq_in & 0xFFFFFFFF or pos != record.frames or record.final:
            self._broken(f"message {seq} at frame {pos}; wanted {self._seq_in} at {record.frames}")
        else:
            self._seq_in += 1
            record.levels, record.final = levels, bool(flags & FINAL)
            if frames:
                record.frames += frames
                record.codes += data[HEADER.size :]
                record.times.append(now)
                record.counts.append(frames)
            if self._greedy is not None:
                self._greedy(self)

    def _message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ready":
                self.opened.set_result(None)
            case "done":
                self.record.told = int(message["frames"])
            case "error":
                self.record.why = str(message["message"])
                if not self.opened.done():
                    self._fail(self.record.why)
            case Drain.type:
                if self._on_drain == "stop":
                    self.stop()
                self.stopped = True

    def _broken(self, why: str) -> None:
        self.record.ends(End.BROKEN, why)
        self.stopped = True
        self._transport.abort()

    def _fail(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(LoadError(why))

    def pause_writing(self) -> None:
        """The server does not read."""
        self.writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self.writable = True
        if self._greedy is not None:
            self._greedy(self)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        self.stopped = True
        self.record.ends(End.LOST, str(error or "the server hung up"))
        self._fail(self.record.why or "the connection broke")
        self.closed.set()
