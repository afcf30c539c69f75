"""The websocket server: who is connected, who may be, and how it all ends.

    async with Server(codec, ServerSettings(port=8000)) as server:
        print(server.url)

The codec is run once in every size of step before the first client can come. All computing is done in one worker
thread, in batched steps of all streams that have a hop (scheduler.py).

Knows: connections, and what there is one of in a server. Does not know: messages (connection.py, stream.py), what a
socket may do (transport.py), whose a session is (sessions.py).
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
from ..protocol.constants import SUBPROTOCOL
from ..worker import Worker
from .access import origin_allowed
from .connection import Connection
from .http import answer, page
from .logs import log, log_event, transport_log
from .metrics import Metrics
from .scheduler import Scheduler
from .sessions import Sessions
from .settings import ServerSettings
from .transport import MOST_UNSENT, registered, select
from .warmup import warm

if TYPE_CHECKING:
    from ...codec import Codec

_WATCH_SECONDS = 0.5


class Server:
    """A server for one codec; an async context manager.

    Attributes:
        codec, settings: as given.
        scheduler, sessions, metrics: what there is one of, once entered.
        max_streams: that may be open at once.
    """

    scheduler: Scheduler
    sessions: Sessions
    max_streams: int

    def __init__(self, codec: Codec, settings: ServerSettings | None = None) -> None:
        self.codec, self.settings = codec, settings or ServerSettings()
        self.metrics = Metrics(codec.hop_length / codec.sample_rate, self._figures)
        self._connections: dict[ServerConnection, Connection | None] = {}
        self._numbers, self._began = itertools.count(1), time.monotonic()
        self._stopping: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where to connect to."""
        host, scheme = self.settings.host, "wss" if self.settings.tls_certificate else "ws"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def streams(self) -> int:
        """Streams open now, without those that are parked."""
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
            capacity = await worker.run(warm, self.codec)
            self.max_streams = settings.max_streams or capacity.streams
            self.sessions = Sessions(self.max_streams, settings.max_parked, settings.park_timeout, self.metrics.ended)
            row_hops = {direction: min(most, settings.max_batch) for direction, most in capacity.row_hops.items()}
            self.scheduler = Scheduler(
                self.codec, worker, self.max_streams + settings.max_parked + 1, row_hops, settings.gather,
                self.metrics.step, self.metrics.latency.add,
            )  # fmt: skip
            self._listening: WebsocketServer = await serve(
                self._handle, settings.host, settings.port, create_connection=registered(self._connections), ssl=tls,
                subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=select, process_request=self._request,
                open_timeout=settings.start_timeout, close_timeout=settings.close_timeout, compression=None,
                # Pings keep routers awake. A late answer is no fault: it may wait behind much audio, which TCP holds.
                ping_interval=20, ping_timeout=None, max_size=settings.max_message, logger=transport_log(),
            )  # fmt: skip
        except OSError as error:
            await worker.close()
            where = f"{settings.host}:{settings.port}"
            raise ServiceError(f"cannot listen on {where} ({error.strerror or error}); choose another --port") from None
        except BaseException:
            await worker.close()
            raise
        self._running = [  # the first one computes
            asyncio.create_task(self.scheduler.run(), name="streamrvq-scheduler"),
            asyncio.create_task(self._watch(), name="streamrvq-watch"),
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
        """Nothing is computed any more: a server that only seems to be there would be worse than none."""
        if not task.cancelled():
            log.critical("the scheduler failed; the server stops", exc_info=task.exception())
            self.sessions.fail(RuntimeError("the scheduler failed"))
            self._failing = asyncio.ensure_future(self.stop())

    async def stop(self) -> None:
        """Stop: no new connections; clients are told, and what they send until they stop, or within `drain_timeout`,
        is encoded and sent; then 1012. After `stop_timeout` what is left is cut. Nothing is left when this returns.
        Again, or twice at once, waits for the same."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="streamrvq-stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        log_event("stopping", streams=self.streams, parked=self.sessions.parked, connections=len(self._connections))
        self._listening.close(close_connections=False)
        for socket, connection in list(self._connections.items()):
            if connection is None:
                socket.transport.abort()  # in its handshake, and perhaps for long
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

    def _request(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP, refuse a handshake, or let it go on."""
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
            return self._plain(request)
        if request.path != "/":
            return socket.respond(HTTPStatus.NOT_FOUND, "The websocket is at /, without a query.\n")
        return None

    def _plain(self, request: Request) -> Response:
        if request.path == "/health":
            draining = self._stopping is not None
            health = {"status": "draining" if draining else "ok", "codec": self.codec.name,
                      "codec_hash": self.codec.codec_hash, "max_streams": self.max_streams,
                      **{name: value for name, (_, value) in self._figures().items()}}  # fmt: skip
            status = HTTPStatus.SERVICE_UNAVAILABLE if draining else HTTPStatus.OK
            return answer(status, "application/json", json.dumps(health).encode() + b"\n")
        if request.path == "/metrics":
            return answer(HTTPStatus.OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.text())
        return page(request)

    def _figures(self) -> dict[str, tuple[str, float]]:
        """What is so now, for /health and /metrics."""
        return {
            "streams": ("Streams with a connection", self.sessions.open),
            "parked": ("Streams whose connection was lost, waiting for it", self.sessions.parked),
            "connections": ("Connections, those in their handshake included", len(self._connections)),
            "queued_seconds": ("Audio that has come and is not yet in a step, all streams", self.scheduler.queued),
            "unsent_bytes": ("Bytes that clients have not taken", self._unsent()),
            "uptime_seconds": ("Since the start", round(time.monotonic() - self._began, 3)),
        }

    def _unsent(self) -> int:
        return sum(
            socket.transport.get_write_buffer_size() for socket, known in self._connections.items() if known is not None
        )

    async def _handle(self, socket: ServerConnection) -> None:
        connection, settings = Connection(self, socket, next(self._numbers)), self.settings
        if socket not in self._connections:
            return  # lost already
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

    async def _watch(self) -> None:
        """Deadlines: of connections, of parked sessions, of those that let pile up what websockets sends of its own
        accord."""
        settings = self.settings
        shortest = min(settings.start_timeout, settings.idle_timeout, settings.send_timeout, settings.park_timeout)
        while True:
            await asyncio.sleep(min(_WATCH_SECONDS, shortest / 5) if self._stopping is None else 0.05)
            now = asyncio.get_running_loop().time()
            self.metrics.expired += self.sessions.expire(now)
            for socket, connection in list(self._connections.items()):
                if socket.transport.get_write_buffer_size() > MOST_UNSENT:
                    log_event("cut", logging.WARNING, why="pings are asked and their answers not read")
                    socket.transport.abort()
                elif connection is not None:
                    connection.check(now)


def _address(socket: ServerConnection) -> object:
    address = socket.remote_address
    return address[0] if isinstance(address, tuple) else address
