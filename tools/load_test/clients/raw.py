"""A client that costs as little as possible, so that one core carries many: a few microseconds for each message.

It writes websocket frames itself (masked with zeros, which costs the server the same) and keeps what it receives as
bytes. While it runs, it checks only order and positions. The websocket library does the handshake. It never reconnects:
remote_stream.py has the client that does.

Knows: one connection, and the ways in which a client can misbehave. Does not know: when to send (pacer.py), which codes
are right (verify.py), when it misbehaves (faults.py).
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
from .audio import LoopedAudio

TEXT, BINARY, _CLOSE, PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_MASKED = 0x80
_OPENING = 30.0  # seconds
#: Bytes that the kernel buffers for a client that does not read, as on a small device. By default these are megabytes,
#: and the server would not notice for minutes that a client never reads.
_RECEIVE_BUFFER = 1 << 13
#: Bytes that the kernel buffers of what a client sends. By default megabytes would wait when a fast client stops.
_SEND_BUFFER = 1 << 16


def frame(head: int, size: int) -> bytes:
    """The head of a client's websocket frame with ``size`` bytes, masked with zeros."""
    if size < 126:
        return struct.pack("!BB4x", head, _MASKED | size)
    return struct.pack("!BBH4x", head, _MASKED | 126, size)


#: Of the longest kind. The server allows 1000 pings at once, and 200 a second.
_UNREAD_PINGS = (frame(PING, 125) + bytes(125)) * 3


def text_frame(text: str) -> bytes:
    """A client's whole frame with a text."""
    return frame(TEXT, len(text)) + text.encode()


class RawClient(asyncio.Protocol):
    """One connection to the server.

    Args:
        record: where everything is recorded.
        audio: what is sent.
        on_writable: called when more can be sent, for clients that send as fast as the server reads.
        on_drain: what to do when the server announces its shutdown: ``"stop"``, as the protocol asks, or ``"silence"``.
        token: the access token, where the server wants one.
    """

    def __init__(
        self,
        record: Record,
        audio: LoopedAudio,
        on_writable: Callable[[RawClient], None] | None = None,
        on_drain: str = "stop",
        token: str | None = None,
    ) -> None:
        self.record, self._audio, self._on_writable, self._on_drain = record, audio, on_writable, on_drain
        self._token = token
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.writable, self.stopped, self.leaving = True, False, False
        self.deaf = False
        self._handshake: ClientProtocol | None = None
        self._rest, self._seq_in, self._seq_out = b"", 0, 0
        self._head = frame(BINARY, HEADER.size + 2 * record.block)

    async def open(self, url: str, seconds: float = _OPENING) -> None:
        """Connect, start a stream and wait for the answer, so long. Raises `LoadError` if that fails."""
        uri, loop = parse_uri(url), asyncio.get_running_loop()
        self._socket = sockets.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
        self._handshake = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)])
        try:
            async with asyncio.timeout(seconds):
                await loop.sock_connect(self._socket, (uri.host, uri.port))
                self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
                await loop.create_connection(lambda: self, sock=self._socket)
                await self.opened
        except (OSError, TimeoutError) as error:
            raise LoadError(f"stream {self.record.number} could not be opened: {str(error) or 'no answer'}") from None

    # ------------------------------------------------------------- sending

    def send(self, now: float) -> None:
        """Send the next message."""
        record = self.record
        samples = self._audio.wire(record.offset + record.samples, record.block)
        header = HEADER.pack(PayloadKind.PCM, 0, 0, self._seq_out & 0xFFFFFFFF, record.samples)
        self._transport.write(b"".join((self._head, header, samples)))
        self._seq_out += 1
        record.samples += record.block
        record.sent.append(now)

    def send_unread(self, now: float) -> None:
        """Send a message, as long as the server reads, and pings: their answers, never read, fill its buffers."""
        if self.writable and not self._transport.is_closing():
            self.send(now)
            self._transport.write(_UNREAD_PINGS)

    def stop(self) -> None:
        """End the stream: all audio has been sent."""
        if not self.stopped:
            self.stopped = True
            self._text(Stop().to_json())

    def _text(self, text: str) -> None:
        self._transport.write(text_frame(text))

    # ------------------------------------------------------------- misbehaving

    def kill(self) -> None:
        """Reset the connection (RST)."""
        self._leave()
        if self._transport.is_closing():
            return
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def give_up(self) -> None:
        """Close whatever is open."""
        if hasattr(self, "_transport"):
            self._transport.abort()
        else:  # it never got as far as asyncio's transport
            self._socket.close()

    def cut(self) -> None:
        """Close the connection in the middle of a message."""
        self._leave()
        self._transport.write(self._head + bytes(self.record.block))
        self._transport.close()

    def _leave(self) -> None:
        self.leaving = self.stopped = True
        self.record.ends(End.LEFT)
        self.record.expected = frozenset({End.LEFT})

    def stall(self, seconds: float) -> None:
        """Stop reading for a while, but go on sending."""
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def stop_reading(self) -> None:
        """Never read again: the server must disconnect this client."""
        self._transport.pause_reading()
        self.record.expected = frozenset({End.LOST})
        self.deaf = True

    # ------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: Any) -> None:
        """asyncio: the socket is open."""
        self._transport: asyncio.Transport = transport
        assert self._handshake is not None
        request = self._handshake.connect()
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._handshake.send_request(request)
        transport.write(b"".join(self._handshake.data_to_send()))

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes have come."""
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
            self._text(Start(mode="encode", sample_rate=self._audio.rate, format="s16le").to_json())

    def _frame(self, head: int, data: bytes, now: float) -> None:
        if head == BINARY:
            self._codes(data, now)
        elif head == TEXT:
            self._message(json.loads(data))
        elif head == PING:
            self._transport.write(frame(_PONG, len(data)) + data)
        elif head == _CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            self._transport.write(frame(_CLOSE, len(data)) + data)
            self._transport.close()
            self.record.code = code
            if code == Close.NORMAL and self.record.announced is not None:
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
            if self._on_writable is not None:
                self._on_writable(self)

    def _message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "ready":
                self.opened.set_result(None)
            case "done":
                self.record.announced = int(message["frames"])
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
        """asyncio: the server does not read."""
        self.writable = False

    def resume_writing(self) -> None:
        """asyncio: the server reads again."""
        self.writable = True
        if self._on_writable is not None:
            self._on_writable(self)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the connection is closed."""
        self.stopped = True
        self.record.ends(End.LOST, str(error or "the server hung up"))
        self._fail(self.record.why or "the connection broke")
        self.closed.set()
