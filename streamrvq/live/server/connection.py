"""One websocket connection of the server: every wait has an end, and every end its close code.

Two tasks: one reads messages and gives them to the stream, one sends what the stream has. Nothing piles up: while a
stream has enough waiting, computed or not, its next message is not read, and TCP slows the client down. Deadlines are
kept by one watch for all connections (`check`), which costs a message nothing.

Knows: deadlines, errors, closing, what becomes of the session. Does not know: what a stream computes (stream.py), who
else is there (server.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed

from ...errors import ProtocolError
from ..protocol.constants import SUBPROTOCOL, Close
from ..protocol.text import Drain, Resume, Resumed, Start
from .access import RateLimit
from .closing import close_with_reason, how_closed, peer
from .handshake import first_message, header_token, ready
from .logs import log, log_event
from .stream import ServedStream, open_stream

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from .server import Server
    from .sessions import Session

#: A client that has been told of a drain and sends nothing for so long has sent everything.
_QUIET_SECONDS = 0.3
#: Messages that are taken one after the other without a wait, if so many are here already.
_AT_ONCE = 8


class _Lost(Exception):
    """The client is no longer there for us."""


class _Draining(Exception):
    """The server wants to go."""


class Connection:
    """A client, from its handshake to its end.

    Args:
        server: whose codec, scheduler, sessions and settings it uses.
        socket: an open websocket.
        number: for the log. (The session's name is a secret, and is not logged.)
    """

    def __init__(self, server: Server, socket: ServerConnection, number: int) -> None:
        self._server, self._socket, self._number = server, socket, number
        self._settings, self._clock = server.settings, asyncio.get_running_loop().time
        self._session: Session | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._verdict: Exception | None = None  # why a task was ended from outside
        self._reading_since: float | None = None
        self._sending_since: float | None = None
        self._woken, self._room = asyncio.Event(), asyncio.Event()
        self._draining = self._waiting = False  # the latter: for room
        self._audio = 0.0

    # ------------------------------------------------------------- from outside

    def drain(self) -> None:
        """Come to an end: the client is told, what it sends until it stops is encoded, and 1012 closes."""
        self._draining = True
        if self._session is None:
            self.finish()
        else:
            self._woken.set()

    def finish(self) -> None:
        """Read nothing more; what has been read is encoded and sent, and 1012 closes."""
        if self._verdict is None:
            self._verdict = _Draining()
            if self._reading is not None:
                self._reading.cancel()

    def check(self, now: float) -> None:
        """Called every now and then: end what waits for too long."""
        settings, reading, sending = self._settings, self._reading_since, self._sending_since
        if sending is not None and now - sending > settings.send_timeout:
            self._socket.transport.abort()
            self._cut(_Lost(f"it took nothing for {settings.send_timeout:g} s"))
        if reading is None:
            return
        if self._draining and now - reading > _QUIET_SECONDS:
            self.finish()
        elif self._session is None and now - reading > settings.start_timeout:
            self._too_slow("no start message came", settings.start_timeout)
        elif self._session is not None and now - reading > settings.idle_timeout:
            self._too_slow("nothing was received", settings.idle_timeout)

    def _too_slow(self, what: str, seconds: float) -> None:
        self._cut(ProtocolError(f"{what} for {seconds:g} s; send at least an empty one", Close.TOO_SLOW))

    def _cut(self, verdict: Exception) -> None:
        self._verdict = verdict
        for task in (self._reading, self._writing):
            if task is not None:
                task.cancel()

    def _taken_over(self) -> None:
        self._session = None
        self._socket.transport.abort()
        self._cut(_Lost("another connection took its session over"))

    def log(self, event: str, level: int = logging.INFO, **fields: object) -> None:
        """A line of the log: an event and its fields."""
        log_event(event, level, conn=self._number, **fields)

    # ------------------------------------------------------------- the whole way

    async def refuse(self, why: str) -> None:
        """Close at once: there is no room."""
        self.log("refused", logging.WARNING, why=why)
        with suppress(ConnectionClosed):
            await self._close_with_reason(Close.FULL, why)

    async def run(self) -> None:
        """Serve the client to its end. Whatever happens, only a cancellation is raised."""
        began, code, why = self._clock(), Close.NORMAL, ""
        self.log("connected", peer=peer(self._socket))
        try:
            try:
                await self._serve()
                if self._draining:
                    raise _Draining
            except ProtocolError as error:
                code, why = Close(error.code), str(error)
            except _Draining:
                code, why = Close.RESTART, "the server is going down; connect again"
            await self._close_with_reason(code, why)
        except _Lost as error:
            code, why = Close.LOST, str(error)
        except ConnectionClosed:
            if code == Close.NORMAL:  # else the client left before it could be told
                code, why = how_closed(self._socket)
        except Exception:
            code, why = Close.FAILED, "the server failed; its log says more"
            log.exception("failed conn=%d", self._number)
            with suppress(ConnectionClosed):
                await self._close_with_reason(code, why)
        finally:
            self._leave(code)
            seconds, audio = round(self._clock() - began, 3), round(self._audio, 3)
            self.log("closed", code=int(code), why=why, seconds=seconds, audio_seconds=audio)
            self._server.metrics.closed(code)

    def _leave(self, code: Close) -> None:
        """What becomes of the session: a client that vanished may come back for it."""
        session, self._session = self._session, None
        if session is None:
            return
        stream = session.stream
        stream.changed = _nothing
        self._audio = stream.audio_seconds
        if code != Close.LOST or stream.error is not None or self._draining:
            self._server.sessions.end(session)
        elif self._server.sessions.park(session, self._clock()):
            self.log("parked", frames=stream.outbox.pos)

    async def _close_with_reason(self, code: Close, why: str) -> None:
        await close_with_reason(self._socket, code, why, self._settings.send_timeout, self._settings.close_timeout)

    async def _serve(self) -> None:
        if self._socket.subprotocol != SUBPROTOCOL:
            raise ProtocolError(f"no subprotocol {SUBPROTOCOL} was offered; offer it", Close.VERSION)
        if self._draining:
            raise _Draining
        first, identity = await self._outcome(self._first())
        greeting = self._take_up(first, identity) if isinstance(first, Resume) else self._open(first, identity)
        session = self._session
        assert session is not None
        session.stream.changed = self._changed
        self._writing = asyncio.create_task(self._write(session, greeting), name="streamrvq-write")
        try:
            with suppress(_Draining):
                await self._outcome(self._read(session), self._writing)
            if self._session is not session:
                raise _Lost("another connection took its session over")
            session.stream.flush()  # draining: no `done`, for more may be on its way
            await asyncio.wait((self._writing,))
            self._result(self._writing)
        finally:
            self._writing.cancel()
            await asyncio.wait((self._writing,))

    async def _outcome(self, doing: Coroutine[Any, Any, Any], beside: asyncio.Task[None] | None = None) -> Any:
        """The outcome of reading as a task that `_cut` and `finish` can end; or of what failed beside it."""
        task = self._reading = asyncio.create_task(doing, name="streamrvq-read")
        try:
            await asyncio.wait((task, beside) if beside else (task,), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and beside is not None:
                return self._result(beside)
            return self._result(task)
        finally:
            self._reading_since = None
            task.cancel()
            await asyncio.wait((task,))

    def _result(self, task: asyncio.Task[Any]) -> Any:
        if task.cancelled() and self._verdict is not None:
            raise self._verdict
        return task.result()

    # ------------------------------------------------------------- the beginning

    async def _first(self) -> tuple[Start | Resume, str]:
        """The client's first message, and whose it is."""
        assert self._socket.request is not None  # it has been answered
        header = header_token(self._socket.request.headers.get_all("Authorization"), self._settings.tokens)
        return first_message(await self._receive(), header, self._settings.tokens)

    def _open(self, start: Start, identity: str) -> str:
        server, codec = self._server, self._server.codec
        server.sessions.admit()
        stream = open_stream(codec, server.scheduler, start, self._settings.max_message)
        self._session = server.sessions.add(stream, identity, self._taken_over)
        self.log("started", mode=start.mode, rate=start.sample_rate, format=start.format, levels=start.n_quantizers)
        return ready(codec, self._session.name, self._settings.max_message).to_json()

    def _take_up(self, resume: Resume, identity: str) -> str:
        session = self._server.sessions.take(resume.session, identity, resume.next_frame, self._taken_over)
        self._session, stream = session, session.stream
        self._server.metrics.resumed += 1
        self.log("resumed", frame=resume.next_frame, of=stream.outbox.pos)
        return Resumed(pos=stream.incoming.pos, next_frame=resume.next_frame).to_json()

    # ------------------------------------------------------------- to and fro

    def _changed(self) -> None:
        self._woken.set()
        if self._waiting:
            self._room.set()

    async def _receive(self, stream: ServedStream | None = None) -> str | bytes:
        if stream is None or not stream.ended:  # else nothing need come
            self._reading_since = self._clock()
        data = await self._socket.recv()
        self._reading_since = None
        return data

    async def _read(self, session: Session) -> None:
        """Everything from the client to the stream. What comes behind its end is passed over, for only a reader hears
        that a connection is lost: this ends by an exception, or is ended."""
        stream, rate_limit, taken = session.stream, RateLimit(self._clock()), 0
        while True:
            self._waiting = True
            while stream.full and not stream.ended:
                self._room.clear()
                await self._room.wait()
            self._waiting = False
            data = await self._receive(stream)
            rate_limit.spend(self._clock(), stream.audio_seconds)
            if not stream.ended:
                stream.take(data)
            taken += 1
            if taken % _AT_ONCE == 0:  # messages that are here already come without a wait: let the others have a turn
                await asyncio.sleep(0)

    async def _write(self, session: Session, greeting: str) -> None:
        """Everything from the stream to the client, until it ends."""
        stream, told = session.stream, False
        await self._send(greeting)
        while self._session is session:
            out = stream.outbox.next()
            if out is not None:
                await self._send(out)
                if self._waiting:
                    self._room.set()
            elif stream.error is not None:
                raise stream.error
            elif stream.outbox.done:
                return
            elif self._draining and not told and not stream.ended:
                told = True
                await self._send(Drain(seconds=int(self._settings.drain_seconds)).to_json())
            else:
                self._woken.clear()
                await self._woken.wait()

    async def _send(self, data: str | bytes) -> None:
        self._sending_since = self._clock()
        await self._socket.send(data)  # waits without a limit for a client that does not read: see `check`
        self._sending_since = None


def _nothing() -> None:
    pass
