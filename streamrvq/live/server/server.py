"""The websocket server: which connections there are, which are let in, and how the server starts and stops.

    async with Server(codec, ServerSettings(port=8000)) as server:
        print(server.url)

Before the first client can connect, the codec runs once in every size of step. One worker thread does all computing, in
batched steps of all streams that have a hop (scheduler.py).

Knows: the connections, and the parts that they share (services.py). Does not know: messages (connection.py, stream.py),
the limits of a socket (transport.py), who holds a session (sessions.py).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import MultipleValuesError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ...errors import ServiceError
from ...system.copying import NeverCopied
from ..protocol.constants import SUBPROTOCOL
from ..worker import Worker
from .access import origin_allowed
from .connection import Connection
from .http import page_response, uncached_response
from .logs import log, log_event, transport_log
from .metrics import Metrics
from .scheduler import Scheduler
from .services import Services
from .sessions import Sessions
from .settings import ServerSettings
from .transport import MAX_UNSENT_BYTES, connection_class, select_subprotocol
from .warmup import warm_up

if TYPE_CHECKING:
    from ...codec import Codec

_WATCH_SECONDS = 0.5


class Server(NeverCopied, error=ServiceError, holds="sockets and a thread", instead="make another one"):
    """A server for one codec; an async context manager.

    Args:
        codec: whose codes clients send and get.
        settings: None: the defaults.

    Attributes:
        codec, settings: as given.
        metrics: what the server counts.
        scheduler, sessions: what computes, and all sessions; set on entering.
        max_streams: streams that may be open at once; set on entering.
    """

    scheduler: Scheduler
    sessions: Sessions
    max_streams: int

    def __init__(self, codec: Codec, settings: ServerSettings | None = None) -> None:
        self.codec, self.settings = codec, settings or ServerSettings()
        self.metrics = Metrics(codec.hop_length / codec.sample_rate, self._gauges)
        self._connections: dict[ServerConnection, Connection | None] = {}  # None: in its handshake
        self._numbers, self._began = itertools.count(1), time.monotonic()
        self._stopping: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address to connect to."""
        host, scheme = self.settings.host, "wss" if self.settings.tls_certificate else "ws"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def streams(self) -> int:
        """Streams open now, parked ones not counted."""
        return self.sessions.open

    @property
    def connections(self) -> int:
        """Connections open now, those in their handshake included."""
        return len(self._connections)

    # ------------------------------------------------------------- start and stop

    async def __aenter__(self) -> Server:
        settings, tls = self.settings, self.settings.tls()
        worker = self._worker = Worker("streamrvq-step")
        try:
            capacity = await worker.run(warm_up, self.codec)
            self.max_streams = settings.max_streams or capacity.streams
            self.sessions = Sessions(
                self.max_streams, settings.max_parked, settings.park_timeout, self.metrics.stream_ended
            )
            row_hops = {direction: min(most, settings.max_batch) for direction, most in capacity.row_hops.items()}
            self.scheduler = Scheduler(
                self.codec, worker, self.max_streams + settings.max_parked + 1, row_hops, settings.gather,
                self.metrics.step_done, self.metrics.latency.add,
            )  # fmt: skip
            self._services = Services(self.codec, settings, self.scheduler, self.sessions, self.metrics)
            self._listening: WebsocketServer = await serve(
                self._handle, settings.host, settings.port, create_connection=connection_class(self._connections),
                ssl=tls, subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=select_subprotocol,
                process_request=self._http_response, open_timeout=settings.start_timeout,
                close_timeout=settings.close_timeout, compression=None,
                # Pings keep routers awake. A late answer is not a fault: it may wait behind audio that TCP holds back.
                ping_interval=20, ping_timeout=None, max_size=settings.max_message, logger=transport_log(),
            )  # fmt: skip
        except OSError as error:
            await worker.close()
            where = f"{settings.host}:{settings.port}"
            raise ServiceError(f"cannot listen on {where} ({error.strerror or error}); choose another --port") from None
        except BaseException:
            await worker.close()
            raise
        self._running = [
            asyncio.create_task(self.scheduler.run(), name="streamrvq-scheduler"),
            asyncio.create_task(self._watch_deadlines(), name="streamrvq-watch"),
        ]
        self._running[0].add_done_callback(self._scheduler_ended)
        log_event(
            "listening", url=self.url, codec=self.codec.name, codec_hash=self.codec.codec_hash,
            max_streams=self.max_streams, batch=row_hops["encode"],
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _scheduler_ended(self, task: asyncio.Task[None]) -> None:
        """Stop, since nothing is computed any more."""
        if not task.cancelled():
            log.critical("the scheduler failed; the server stops", exc_info=task.exception())
            self.sessions.fail(RuntimeError("the scheduler failed"))
            self._failing = asyncio.ensure_future(self.stop())

    async def stop(self) -> None:
        """Stop the server. Nothing of it is left when this returns.

        No new connections are let in, and clients are told. What they send until they stop, or within `drain_timeout`,
        is encoded and sent; then each connection is closed with 1012. Those left after `stop_timeout` are aborted.
        A second call waits for the first.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="streamrvq-stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        log_event("stopping", streams=self.streams, parked=self.sessions.parked, connections=len(self._connections))
        self._listening.close(close_connections=False)
        for socket, connection in list(self._connections.items()):
            if connection is None:
                socket.transport.abort()  # a handshake may take long
            else:
                connection.drain()
        closed = asyncio.create_task(self._listening.wait_closed())
        settings = self.settings
        await asyncio.wait([closed], timeout=settings.drain_seconds)
        for connection in list(self._connections.values()):
            if connection is not None:
                connection.finish()
        await asyncio.wait([closed], timeout=settings.stop_timeout - settings.drain_seconds)
        if not closed.done():
            for socket in list(self._connections):
                socket.transport.abort()
            for task in list(self._listening.handler_tasks):
                task.cancel()  # else each would wait for its turn in the worker
        await closed
        for running in self._running:
            running.cancel()
        await asyncio.wait(self._running)
        await self._worker.close()
        log_event("stopped")

    # ------------------------------------------------------------- connections

    def _http_response(self, socket: ServerConnection, request: Request) -> Response | None:
        """The response to a plain HTTP request or a refused handshake; None lets the handshake continue."""
        try:
            origin, host = request.headers.get("Origin"), request.headers.get("Host")
            upgrade = request.headers.get("Upgrade")
        except MultipleValuesError:
            return socket.respond(HTTPStatus.BAD_REQUEST, "Origin, Host or Upgrade came twice.\n")
        if not origin_allowed(origin, host, self.settings.origins):
            log_event("refused", logging.WARNING, origin=origin)
            self.metrics.refused += 1
            return socket.respond(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect.\n")
        if upgrade is None:
            return self._plain_http(request)
        if request.path != "/":
            return socket.respond(HTTPStatus.NOT_FOUND, "The websocket is at /, without a query.\n")
        return None

    def _plain_http(self, request: Request) -> Response:
        if request.path == "/health":
            draining = self._stopping is not None
            health = {"status": "draining" if draining else "ok", "codec": self.codec.name,
                      "codec_hash": self.codec.codec_hash, "max_streams": self.max_streams,
                      **{name: value for name, (_, value) in self._gauges().items()}}  # fmt: skip
            status = HTTPStatus.SERVICE_UNAVAILABLE if draining else HTTPStatus.OK
            return uncached_response(status, "application/json", json.dumps(health).encode() + b"\n")
        if request.path == "/metrics":
            content_type = "text/plain; version=0.0.4; charset=utf-8"
            return uncached_response(HTTPStatus.OK, content_type, self.metrics.text())
        return page_response(request)

    def _gauges(self) -> dict[str, tuple[str, float]]:
        """The present values for /health and /metrics: name → (help, value)."""
        return {
            "streams": ("Streams with a connection", self.sessions.open),
            "parked": ("Streams whose connection was lost, waiting for it", self.sessions.parked),
            "connections": ("Connections, those in their handshake included", len(self._connections)),
            "queued_seconds": ("Audio that has come and is not yet in a step, all streams",
                               self.scheduler.queued_seconds),
            "unsent_bytes": ("Bytes that clients have not taken", self._unsent_bytes()),
            "uptime_seconds": ("Since the start", round(time.monotonic() - self._began, 3)),
        }  # fmt: skip

    def _unsent_bytes(self) -> int:
        return sum(
            socket.transport.get_write_buffer_size() for socket, known in self._connections.items() if known is not None
        )

    async def _handle(self, socket: ServerConnection) -> None:
        """Serve one connection after its handshake, or refuse it where the server is full."""
        connection, settings = Connection(self._services, socket, next(self._numbers)), self.settings
        if socket not in self._connections:
            return  # it was lost already
        others = [other for other, known in self._connections.items() if known is not None]
        of_one = sum(_address(other) == _address(socket) for other in others)
        for count, most in ((len(others), settings.max_connections), (of_one, settings.max_connections_of_one)):
            if count >= most:
                self.metrics.refused += 1
                await connection.refuse(f"all {most} connections are taken; try later")
                return
        self._connections[socket] = connection
        if self._stopping is not None:
            connection.drain()
        await connection.run()

    async def _watch_deadlines(self) -> None:
        """End connections and parked sessions that have waited for too long, and connections that do not read pongs."""
        settings = self.settings
        shortest = min(settings.start_timeout, settings.idle_timeout, settings.send_timeout, settings.park_timeout)
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, shortest / 5) if self._stopping is None else 0.05)
            now = asyncio.get_running_loop().time()
            self.metrics.expired += self.sessions.expire(now)
            for socket, connection in list(self._connections.items()):
                if socket.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                    log_event("cut", logging.WARNING, why="pings are asked and their answers not read")
                    socket.transport.abort()
                elif connection is not None:
                    connection.check_deadlines(now)


def _address(socket: ServerConnection) -> object:
    address = socket.remote_address
    return address[0] if isinstance(address, tuple) else address
