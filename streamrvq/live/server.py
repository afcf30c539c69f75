"""The websocket server: who is connected, who may be, and how it all ends.

    async with Server(codec, ServerSettings(port=8000)) as server:
        print(server.url)

The codec is run once in every size of step before the first client can come. All computing is done in one worker
thread, in pieces of a tenth of a second of audio, stream by stream in turn.

Knows: websockets, connections, the worker. Does not know: the messages (connection.py, serving.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import secrets
import socket as sockets
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import MultipleValuesError
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event
from websockets.typing import Subprotocol

from ..errors import InputError, ProtocolError, ServiceError
from ..lockstep import MAX_ROW_HOPS
from .access import Allowance, check_origin, origin_allowed
from .connection import Connection, log_event
from .protocol import MAX_MESSAGE, SMALLEST_MAX_MESSAGE, SUBPROTOCOL, Close
from .serving import PIECE_SECONDS
from .web import page
from .worker import Worker

if TYPE_CHECKING:
    from ..codec import Codec

# Of what the kernel holds for one client that does not read, and of what websockets may hold beyond its own limit (it
# answers pings without regard to it). Of what is read at a time: thousands of frames may be in it, and the loop waits
# until they have been parsed (asyncio's own 256 KiB of empty frames take it most of a second). In bytes.
_SEND_BUFFER, _MOST_UNSENT, _READ = 1 << 16, 1 << 20, 1 << 13
_WATCH_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """How a server listens, whom it lets in, and for how long it waits. Times in seconds.

    Raises:
        InputError: a value out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8000  #: 0: any free one
    tokens: tuple[str, ...] = ()  #: bearer tokens; none: everybody may come
    origins: tuple[str, ...] = ()  #: of pages that may connect besides the server's own; "*": of all
    max_streams: int = 16  #: open at once
    max_connections: int = 256  #: open at once, those without a stream included
    max_message: int = MAX_MESSAGE  #: bytes
    start_timeout: float = 10.0  #: from the connection to its start message; the handshake has as long
    idle_timeout: float = 60.0  #: without a message
    send_timeout: float = 10.0  #: for a client to take a message
    close_timeout: float = 2.0  #: for a client to answer a close
    stop_timeout: float = 4.0  #: for all clients, when the server stops

    def __post_init__(self) -> None:
        lowest = {"port": 0, "max_streams": 1, "max_connections": 1, "max_message": SMALLEST_MAX_MESSAGE}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}; wanted a whole number of at least {low}")
        if self.port > 65535:
            raise InputError(f"port is {self.port}; wanted 0 to 65535")
        for name in ("start_timeout", "idle_timeout", "send_timeout", "close_timeout", "stop_timeout"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; wanted seconds, more than 0")
        if any(not token for token in self.tokens):
            raise InputError("a token is empty; wanted at least one character, better 32 random ones")
        object.__setattr__(self, "origins", tuple(check_origin(origin) for origin in self.origins))


class Server:
    """A server for one codec; an async context manager.

    Attributes:
        codec, settings: as given.
        worker: the thread that computes.
    """

    def __init__(self, codec: Codec, settings: ServerSettings | None = None) -> None:
        self.codec, self.settings = codec, settings or ServerSettings()
        self._connections: dict[ServerConnection, Connection | None] = {}
        self._streams, self._numbers = 0, itertools.count(1)
        self._stopping: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where to connect to."""
        host = self.settings.host
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def streams(self) -> int:
        """Streams open now."""
        return self._streams

    @property
    def connections(self) -> int:
        """Connections open now, those in their handshake included."""
        return len(self._connections)

    # ------------------------------------------------------------- a connection's questions

    def admit(self) -> None:
        """Take a place for a stream. Raises `ProtocolError` where there is none."""
        if self._streams >= self.settings.max_streams:
            raise ProtocolError(f"all {self.settings.max_streams} streams are taken; try later", Close.FULL)
        self._streams += 1

    def release(self) -> None:
        """Give the place back."""
        self._streams -= 1

    def new_session(self) -> str:
        """A name that nobody guesses: 128 random bits in hex."""
        return secrets.token_hex(16)

    # ------------------------------------------------------------- start and stop

    async def __aenter__(self) -> Server:
        settings = self.settings
        self.worker = Worker("streamrvq-step")
        try:
            await self.worker.run(warm, self.codec)
            self._listening: WebsocketServer = await serve(
                self._handle, settings.host, settings.port, create_connection=self._registered(), compression=None,
                subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=_select, process_request=self._request,
                open_timeout=settings.start_timeout, close_timeout=settings.close_timeout,
                # Pings keep routers awake. A late answer is no fault: it may wait behind much audio, which TCP holds.
                ping_interval=20, ping_timeout=None, max_size=settings.max_message, logger=_transport_log(),
            )  # fmt: skip
        except OSError as error:
            await self.worker.close()
            where = f"{settings.host}:{settings.port}"
            raise ServiceError(f"cannot listen on {where} ({error.strerror or error}); choose another --port") from None
        except BaseException:
            await self.worker.close()
            raise
        self._watching = asyncio.create_task(self._watch(), name="streamrvq-watch")
        log_event("listening", url=self.url, codec=self.codec.name, codec_hash=self.codec.codec_hash)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop: no new connections, each stream flushed and closed with 1012, and after `stop_timeout` cut. Nothing is
        left when this returns. Again, or twice at once, waits for the same."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="streamrvq-stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        log_event("stopping", streams=self._streams, connections=len(self._connections))
        self._watching.cancel()
        self._listening.close(close_connections=False)
        for socket, connection in list(self._connections.items()):
            if connection is None:
                socket.transport.abort()  # in its handshake, and perhaps for long
            else:
                connection.drain()
        closed = asyncio.create_task(self._listening.wait_closed())
        await asyncio.wait([closed], timeout=self.settings.stop_timeout)
        if not closed.done():
            for socket in list(self._connections):
                socket.transport.abort()
            for task in list(self._listening.handler_tasks):
                task.cancel()  # else each would wait for its turn in the worker
        await closed
        await asyncio.wait([self._watching])
        await self.worker.close()
        log_event("stopped")

    # ------------------------------------------------------------- websockets' side

    def _registered(self) -> type[ServerConnection]:
        """A connection that this server knows from its first byte to its last."""
        known = self._connections

        class Registered(ServerConnection):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                socket = transport.get_extra_info("socket")
                socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
                if hasattr(transport, "max_size"):  # of asyncio's own loop
                    transport.max_size = _READ
                known[self] = None
                self.pings = Allowance(self.loop.time())
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

    def _request(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake, or let it go on."""
        try:
            origin, host = request.headers.get("Origin"), request.headers.get("Host")
        except MultipleValuesError:
            return socket.respond(HTTPStatus.BAD_REQUEST, "Origin or Host came twice.\n")
        if not origin_allowed(origin, host, self.settings.origins):
            log_event("refused", logging.WARNING, origin=origin)
            return socket.respond(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect.\n")
        if "Upgrade" not in request.headers:
            return page(request)
        if request.path != "/":
            return socket.respond(HTTPStatus.NOT_FOUND, "The websocket is at /, without a query.\n")
        return None

    async def _handle(self, socket: ServerConnection) -> None:
        connection = Connection(self, socket, next(self._numbers))
        if socket not in self._connections:
            return  # lost already
        if sum(known is not None for known in self._connections.values()) >= self.settings.max_connections:
            await connection.refuse(f"all {self.settings.max_connections} connections are taken; try later")
            return
        self._connections[socket] = connection
        if self._stopping is not None:
            connection.drain()
        await connection.run()

    async def _watch(self) -> None:
        """Cut connections that let pile up what websockets sends of its own accord."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for socket in list(self._connections):
                if socket.transport.get_write_buffer_size() > _MOST_UNSENT:
                    log_event("cut", logging.WARNING, why="pings are asked and their answers not read")
                    socket.transport.abort()


def warm(codec: Codec) -> None:
    """Run every size of step that a server asks for, so that no client waits for a first time."""
    most = min(MAX_ROW_HOPS, int(PIECE_SECONDS * codec.frame_rate) + 1)
    encoder, decoder = codec.stream(), codec.decoder_stream()
    for hops in range(1, most + 1):
        encoder.push(np.zeros(hops * codec.hop_length, np.float32))
        decoder.push(np.zeros((codec.n_codebooks, hops), np.int64))
    encoder.flush()
    decoder.flush()


def _select(socket: ServerConnection, offered: Any) -> Subprotocol | None:
    """Ours if it was offered; else none, which is answered in words after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _transport_log() -> logging.Logger:
    """websockets' own remarks, as ours: what strangers send is no error of ours and needs no traceback."""
    logger = logging.getLogger("streamrvq.server.transport")
    if not logger.filters:
        logger.addFilter(_without_traceback)
        logger.setLevel(logging.WARNING)  # each coming and going has a line of ours
    return logger


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
