"""The websocket server: which connections there are, which are let in, and how the server starts and stops.

    async with Server(codec, ServerSettings(port=8000)) as server:
        print(server.url)

Before the first client can connect, the codec runs once in every size of step. One worker thread does all computing, in
batched steps of all streams that have a hop (scheduling/).

Knows: the connections, and the parts that they share (services.py). Does not know: messages (connection.py, stream.py),
the limits of a socket (transport.py), who holds a session (sessions.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...errors import ServiceError, StreamClosedError
from ...system.copying import NeverCopied
from ...system.cores import available_cores
from ...system.foreign_data import one_line
from ..tasks import wait_through_cancellation
from ..worker import Worker
from .admission.admission import Admission
from .admission.listening import remedy
from .connection import Connection
from .http import HttpService
from .logs import log, log_event
from .metrics import Metrics
from .scheduling.live_load import LiveLoad
from .scheduling.scheduler import Scheduler
from .scheduling.warmup import warm_up
from .services import Services
from .sessions import Sessions
from .settings import ServerSettings
from .static import read_all
from .transport import MAX_UNSENT_BYTES, LimitedConnection
from .waits import Lateness

if TYPE_CHECKING:
    from ...codec import Codec

_WATCH_SECONDS = 0.5
_CHECKED_PER_TURN = 4


class Server(NeverCopied, error=ServiceError, holds="sockets and a thread", instead="make another one"):
    """A server for one codec; an async context manager, entered once. One that could not start may be entered again.

    Args:
        codec: whose codes clients send and get.
        settings: None: the defaults.
        on_failure: called when the server stops because a part of it failed; the log says which.

    Attributes:
        codec, settings: as given.
        metrics: what the server counts.
        scheduler, sessions: what computes, and all sessions; set on entering.
        max_streams: streams that may be open at once; set on entering.
    """

    scheduler: Scheduler
    sessions: Sessions
    max_streams: int

    def __init__(
        self, codec: Codec, settings: ServerSettings | None = None, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self.codec, self.settings, self._on_failure = codec, settings or ServerSettings(), on_failure
        self.metrics = Metrics(codec.hop_length / codec.sample_rate, self._gauges)
        self._connections: dict[LimitedConnection, Connection | None] = {}  # None: in its handshake
        self._admission: Admission | None = None
        self._http = HttpService(self.settings.origins, self._health, self.metrics.text, time.monotonic)
        self._began = time.monotonic()
        self._stopping: asyncio.Task[None] | None = None
        self._entered = False
        self._given_up = False  # whether nobody waits for the start any more
        self._running: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address to connect to."""
        return f"{'wss' if self.settings.tls_certificate else 'ws'}://{self._address(self.port)}"

    def _address(self, port: int) -> str:
        host = one_line(self.settings.host)
        return f"{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def streams(self) -> int:
        """Streams open now, parked ones not counted."""
        return self.sessions.open

    @property
    def connections(self) -> int:
        """Connections open now, those in their handshake included."""
        return len(self._connections) + (len(self._admission.listener) if self._admission is not None else 0)

    # ------------------------------------------------------------- start and stop

    async def __aenter__(self) -> Server:
        if self._entered:
            raise StreamClosedError("this server was entered before; make another one")
        settings = self.settings
        settings.tls()  # before anything costs time: it may be bad
        self._entered, self._given_up = True, False
        worker = self._worker = Worker("streamrvq-step")
        try:
            capacity = await worker.run(warm_up, self.codec, settings.max_batch, lambda: self._given_up)
            self.max_streams = settings.max_streams or capacity.streams
            self.sessions = Sessions(
                self.max_streams, settings.max_parked, settings.park_timeout, self.metrics.stream_ended
            )
            load = LiveLoad(available_cores(), self.codec.engine.threads)
            self.scheduler = Scheduler(
                self.codec, worker, self.max_streams + settings.max_parked + 1, capacity.row_hops, settings.gather,
                self.metrics.step_done, self.metrics.latency.add, load,
            )  # fmt: skip
            self._services = Services(self.codec, settings, self.scheduler, self.sessions, self.metrics, load)
            read_all()  # later there may be no descriptor left
            self.metrics.text()
            self._admission = Admission(
                self._services, self._http, self._connections, lambda: self._stopping is not None
            )
            self._listening = await self._admission.server
        except OSError as error:
            self._entered = False
            await worker.close()
            where, reason = self._address(settings.port), error.strerror or error
            raise ServiceError(f"cannot listen on {where} ({reason}); {remedy(error)}") from None
        except BaseException:
            self._given_up = True  # else the warm-up, which may take long, would run to its end
            await worker.close()
            self._entered = False
            raise
        self._running = [
            asyncio.create_task(self.scheduler.run(), name="streamrvq-scheduler"),
            asyncio.create_task(self._watch_deadlines(), name="streamrvq-watch"),
        ]
        for running in self._running:
            running.add_done_callback(self._part_ended)
        log_event(
            "listening", url=self.url, codec=self.codec.name, codec_hash=self.codec.codec_hash,
            max_streams=self.max_streams, batch=capacity.row_hops["encode"],
        )  # fmt: skip
        return self

    def reload(self, tokens: tuple[str, ...] | None = None) -> None:
        """Read the certificate and its key again, and take other tokens. Streams that are open go on.

        Args:
            tokens: None: those there are.

        Raises:
            InputError: the certificate, its key or a token cannot be used. Everything stays as it was.
            StreamClosedError: it has not started.
        """
        self._check_started("reload")
        assert self._admission is not None
        settings = self.settings if tokens is None else dataclasses.replace(self.settings, tokens=tokens)
        self._admission.listener.tls = settings.tls()
        self.settings = self._services.settings = settings

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        """Stop, since nothing is computed any more, or nobody is cut off who has to be."""
        if not task.cancelled():
            what = task.get_name().removeprefix("streamrvq-")
            log.critical("the %s failed; the server stops", what, exc_info=task.exception())
            if task is self._running[0]:
                self.sessions.fail(RuntimeError("the scheduler failed"))
            self._failing = asyncio.ensure_future(self.stop())
            self._on_failure()

    async def stop(self) -> None:
        """Stop the server. Nothing of it is left when this returns.

        No new clients are let in, and those there are told. What they send until they stop, or within `drain_timeout`,
        is encoded and sent; then each connection is closed with 1012. Those left after `stop_timeout` are aborted.
        A second call waits for the first. Cancelled, it waits all the same, and raises the cancellation then.

        Raises:
            StreamClosedError: it has not started.
        """
        self._check_started("stop")
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name="streamrvq-stop")
        await wait_through_cancellation(self._stopping)
        self._stopping.result()

    async def _stop(self) -> None:
        log_event("stopping", streams=self.streams, parked=self.sessions.parked, connections=self.connections)
        for socket, connection in list(self._connections.items()):
            if connection is None:
                socket.transport.abort()  # a handshake may take long
            else:
                connection.drain()
        settings, ended = self.settings, asyncio.create_task(self._websockets_end())
        await asyncio.wait([ended], timeout=settings.drain_seconds)
        for connection in list(self._connections.values()):
            if connection is not None:
                connection.finish()
        await asyncio.wait([ended], timeout=max(0.0, settings.stop_timeout - settings.drain_seconds))
        if not ended.done():
            for socket in list(self._connections):
                socket.transport.abort()
            for task in list(self._listening.handler_tasks):
                task.cancel()  # else each would wait for its turn in the worker
        await ended
        self._listening.close(close_connections=False)  # not before: /health says meanwhile that the server drains
        await self._listening.wait_closed()
        for running in self._running:
            running.cancel()
        await asyncio.wait(self._running)
        await self._worker.close()
        self._services.repeats.flush(float("inf"))
        log_event("stopped")

    async def _websockets_end(self) -> None:
        while tasks := set(self._listening.handler_tasks):
            await asyncio.wait(tasks)

    def _check_started(self, doing: str) -> None:
        if not self._running:
            raise StreamClosedError(f"{doing} before the server has started; enter it first, or cancel its start")

    # ------------------------------------------------------------- connections

    def _health(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """The status and the object of /health."""
        draining = self._stopping is not None
        health = {"status": "draining" if draining else "ok", "codec": self.codec.name,
                  "codec_hash": self.codec.codec_hash, "max_streams": self.max_streams,
                  **{name: value for name, (_, value) in self._gauges().items()}}  # fmt: skip
        return HTTPStatus.SERVICE_UNAVAILABLE if draining else HTTPStatus.OK, health

    def _gauges(self) -> dict[str, tuple[str, float]]:
        """The present values for /health and /metrics: name → (help, value)."""
        return {
            "streams": ("Streams with a connection", self.sessions.open),
            "parked": ("Streams whose connection was lost, waiting for it", self.sessions.parked),
            "connections": ("Connections, those in their handshake included", self.connections),
            "queued_seconds": ("Audio that has come and is not yet in a step, all streams",
                               self.scheduler.queued_seconds),
            "unsent_bytes": ("Bytes that clients have not taken", self._unsent_bytes()),
            "uptime_seconds": ("Since the start", round(time.monotonic() - self._began, 3)),
        }  # fmt: skip

    def _unsent_bytes(self) -> int:
        return sum(
            socket.transport.get_write_buffer_size() for socket, known in self._connections.items() if known is not None
        )

    async def _watch_deadlines(self) -> None:
        """End connections and parked sessions that have waited for too long, and connections that do not read pongs.

        The load is measured as often.
        """
        assert self._admission is not None  # it has been entered
        settings, admission = self.settings, self._admission
        shortest = min(settings.start_timeout, settings.idle_timeout, settings.send_timeout, settings.park_timeout)
        loop, lateness = asyncio.get_running_loop(), Lateness()
        while True:
            interval = min(_WATCH_SECONDS, shortest / 5) if self._stopping is None else 0.05
            due = loop.time() + interval
            await asyncio.sleep(interval)
            self._services.load.measure(time.monotonic(), time.thread_time())
            if lateness.excuses(due, interval, now := loop.time()):
                continue
            self.metrics.expired += self.sessions.expire(now)
            admission.listener.end_late(now)
            self._services.repeats.flush(now)
            for number, (socket, connection) in enumerate(list(self._connections.items())):
                if number % _CHECKED_PER_TURN == 0:
                    await asyncio.sleep(0)  # hundreds may have to end at once
                if socket.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                    admission.cut(socket, "pings are asked and their answers not read")
                    socket.transport.abort()
                elif connection is not None:
                    connection.check_deadlines(now)
