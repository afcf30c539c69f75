"""One websocket connection of the server: every wait has a limit, and every end has its close code.

Two tasks: one reads messages and gives them to the stream, one sends what the stream has. Nothing piles up. While
enough waits to be computed or sent, the next message is not read, and TCP slows the client down. The server checks the
deadlines of all connections now and then (`Connection.check_deadlines`), so they cost nothing per message.

Knows: deadlines, errors, closing, when a session is parked. Does not know: what a stream computes (stream.py), which
other connections there are (server.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from ...errors import ProtocolError
from ..protocol.constants import SUBPROTOCOL, Close
from ..protocol.text import Drain, Resume, Resumed, Start, whole_seconds
from . import closing
from .access import RateLimit
from .closing import ConnectionLostError, ServerDrainingError
from .handshake import first_message, header_token, ready_message
from .logs import ConnectionLog, log
from .modes import open_stream
from .services import Services
from .stream import ServedStream, ignore_change
from .tasks import ReadingAndWriting
from .waits import Waits

if TYPE_CHECKING:
    from .sessions import Session
    from .transport import LimitedConnection

#: Messages that are handled at once, if that many have already arrived.
_MESSAGES_PER_TURN = 4


class Connection:
    """A client, from its handshake to its end.

    Args:
        services: the parts that all connections share.
        socket: an open websocket.
        number: identifies the connection in the log. (The session's name is a secret and is not logged.)

    Attributes:
        on_authenticated: called before the first message is obeyed. It may raise `ProtocolError`.
    """

    def __init__(self, services: Services, socket: LimitedConnection, number: int) -> None:
        self._services, self._settings, self._socket = services, services.settings, socket
        self.on_authenticated: Callable[[], None] = lambda: None
        self._now = asyncio.get_running_loop().time
        self.log = ConnectionLog(number, socket.remote_address, services.repeats, self._now)
        self._session: Session | None = None
        self._client = ""  # its identity and address, once it has shown its token
        self._tasks = ReadingAndWriting(socket.spend, socket.counts)
        self._waits = Waits(self._settings)
        self._more_to_send, self._may_read = asyncio.Event(), asyncio.Event()
        self._draining = self._reader_waits = self._lost = False
        self._audio_seconds = 0.0

    # ------------------------------------------------------------- from outside

    def drain(self) -> None:
        """Come to an end: tell the client, encode what it sends until it stops, then close with 1012."""
        self._draining = True
        if self._session is None:
            self.finish()
        else:
            self._more_to_send.set()

    def finish(self) -> None:
        """Read nothing more, encode and send what has been read, then close with 1012."""
        self._tasks.end_reading(ServerDrainingError())

    def give_way(self) -> None:
        """End at once, since another client needs the place; this one is told so, and not waited for."""
        self._tasks.end(closing.give_way(self._socket))

    def check_deadlines(self, now: float) -> None:
        """End whatever has waited for too long; to be called regularly with the event loop's time."""
        reason = self._waits.overdue(now, self._session is not None)
        if self._socket.reset:
            reason = ConnectionLostError("its client reset it")
        if isinstance(reason, ConnectionLostError):
            self._socket.transport.abort()
            self._tasks.end(reason)
        elif self._draining and self._waits.quiet(now):
            self.finish()
        elif reason is not None:
            self._tasks.end(reason)

    def _on_lost(self) -> None:
        self._lost = True
        self._may_read.set()  # a reader that waits for room does not notice

    def _on_takeover(self) -> None:
        self._session = None
        self._socket.transport.abort()
        self._tasks.end(ConnectionLostError("another connection took its session over"))

    # ------------------------------------------------------------- from start to end

    async def refuse(self, why: str) -> None:
        """Close at once, because the server is full."""
        self.log.end("refused", "full", logging.WARNING, why=why)
        with suppress(ConnectionClosed):
            await self._close_with_reason(Close.FULL, why)

    async def run(self) -> None:
        """Serve the client to its end. Whatever happens, only a cancellation is raised."""
        began, code, why = self._now(), Close.NORMAL, ""
        self._socket.on_lost = self._on_lost
        try:
            try:
                await self._serve()
                if self._draining:
                    raise ServerDrainingError
            except ProtocolError as error:
                code, why = Close(error.code), str(error)
            except ServerDrainingError:
                code, why = Close.RESTART, "the server is going down; connect again"
            await self._close_with_reason(code, why)
        except ConnectionLostError as error:
            code, why = error.code, str(error)
            if code == Close.LOST and closing.is_closing(self._socket):  # the close is noticed after the loss
                code, why = closing.how_closed(self._socket)
        except ConnectionClosed:
            if code == Close.NORMAL:  # else the client left before it could be told
                code, why = closing.how_closed(self._socket)
        except Exception:
            code, why = Close.FAILED, "the server failed; its log says more"
            log.exception("failed conn=%d", self.log.number)
            with suppress(ConnectionClosed):
                await self._close_with_reason(code, why)
        finally:
            self._release_session(code)
            too_fast = code == Close.TOO_FAST or (code == Close.LOST and self._socket.intake.was_beyond)
            if too_fast and self._client:
                self._services.restarts.refuse(self._client, self._now())
            seconds, audio = round(self._now() - began, 3), round(self._audio_seconds, 3)
            self.log.end("closed", str(int(code)), code=int(code), why=why, seconds=seconds, audio_seconds=audio)
            self._services.metrics.connection_closed(code)

    def _release_session(self, code: Close) -> None:
        """End the session, or park it where the connection broke, since the client may come back."""
        session, self._session = self._session, None
        if session is None:
            return
        stream = session.stream
        stream.on_change, self._audio_seconds = ignore_change, stream.audio_seconds
        if code != Close.LOST or stream.error is not None or self._draining:
            self._services.sessions.end(session)
        elif self._services.sessions.park(session, self._now()):
            self.log("parked", frames=stream.outbox.pos)

    async def _close_with_reason(self, code: Close, why: str) -> None:
        if self._session is not None:
            self._services.sessions.seal(self._session)  # now: the client may take its time to answer
        settings = self._settings
        await closing.close_with_reason(self._socket, code, why, settings.send_timeout, settings.close_timeout)

    async def _serve(self) -> None:
        if self._socket.subprotocol != SUBPROTOCOL:
            raise ProtocolError(f"no subprotocol {SUBPROTOCOL} was offered; offer it", Close.VERSION)
        if self._draining:
            raise ServerDrainingError
        first, identity = await self._tasks.read(self._receive_first())
        if self._draining:  # `drain` may come before this goes on
            raise ServerDrainingError
        session, greeting = self._resume(first, identity) if isinstance(first, Resume) else self._start(first, identity)
        session.stream.on_change, session.closing = self._on_change, lambda: closing.is_closing(self._socket)
        self._tasks.write(self._write(session, greeting))
        try:
            with suppress(ServerDrainingError):
                await self._tasks.read(self._read(session))
            if self._session is not session:
                raise ConnectionLostError("another connection took its session over")
            session.stream.flush()  # draining: no `done`, since the client may have sent more
            await self._tasks.written()
        finally:
            await self._tasks.stop_writing()

    # ------------------------------------------------------------- the first message

    async def _receive_first(self) -> tuple[Start | Resume, str]:
        """The client's first message, and its identity."""
        assert self._socket.request is not None  # it has been answered
        headers = self._socket.request.headers.get_all("Authorization")
        header_token(headers, self._services.settings.tokens)  # a wrong one is told at once
        data = await self._receive()
        tokens = self._services.settings.tokens  # they may be others by now
        first, identity = first_message(data, header_token(headers, tokens), tokens)
        self.on_authenticated()
        self._client = f"{identity} {self.log.group}"
        if pause := self._services.restarts.pause(self._client, self._now()):
            await asyncio.sleep(pause)
        return first, identity

    def _start(self, start: Start, identity: str) -> tuple[Session, str]:
        """Start a session. Returns it, and the greeting to send."""
        services, max_message = self._services, self._settings.max_message
        services.sessions.check_capacity()
        stream = open_stream(services.codec, services.scheduler, start, max_message)
        self._session = session = services.sessions.add(stream, identity, self._on_takeover, self.log.group)
        self.log.begin()
        self.log("started", mode=start.mode, rate=start.sample_rate, format=start.format, levels=start.n_quantizers)
        idle = self._settings.idle_timeout
        return session, ready_message(services.codec, session.name, start, max_message, idle).to_json()

    def _resume(self, resume: Resume, identity: str) -> tuple[Session, str]:
        """Resume a session. Returns it, and the greeting to send."""
        sessions, name, next_frame = self._services.sessions, resume.session, resume.next_frame
        self._session = session = sessions.resume(name, identity, next_frame, self._on_takeover, self.log.group)
        self.log.begin()
        self._services.metrics.resumed += 1
        self.log("resumed", frame=next_frame, of=session.stream.outbox.pos)
        return session, Resumed(pos=session.stream.incoming.pos, next_frame=next_frame).to_json()

    # ------------------------------------------------------------- reading and sending

    def _on_change(self) -> None:
        self._more_to_send.set()
        if self._reader_waits:
            self._may_read.set()

    async def _receive(self, stream: ServedStream | None = None) -> str | bytes:
        if stream is None or not stream.ended:  # an ended stream needs no more messages, so there is no deadline
            self._waits.reading_since = self._now()
        try:
            return await self._socket.recv()
        finally:
            self._waits.reading_since = None

    async def _read(self, session: Session) -> None:
        """Give the stream all that comes. After its end that is discarded: only a reader notices a lost connection."""
        stream, rate_limit, received = session.stream, RateLimit(self._now()), 0
        while True:
            self._reader_waits = True
            while stream.full and not stream.ended:
                self._may_read.clear()
                await self._may_read.wait()
                if self._lost:
                    raise self._socket.protocol.close_exc
            self._reader_waits = False
            data = await self._receive(stream)
            before = stream.audio_seconds
            rate_limit.spend(self._now(), before)
            stream.receive(data)
            self._socket.intake.earn(stream.audio_seconds - before)
            received += 1
            if received % _MESSAGES_PER_TURN == 0:  # `recv` does not wait for messages that are here already
                await asyncio.sleep(0)  # let the other tasks run

    async def _write(self, session: Session, greeting: str) -> None:
        """Send the client everything that the stream has, until it ends."""
        stream, drain_sent = session.stream, False
        await self._send(greeting)
        while self._session is session:
            message = stream.next_message()
            if message is not None:
                await self._send(message)
                if self._reader_waits:
                    self._may_read.set()
            elif stream.error is not None:
                raise stream.error
            elif stream.outbox.done:
                return
            elif self._draining and not drain_sent and not stream.ended:
                drain_sent = True
                await self._send(Drain(seconds=whole_seconds(self._settings.drain_seconds)).to_json())
            else:
                self._more_to_send.clear()
                await self._more_to_send.wait()

    async def _send(self, data: str | bytes) -> None:
        self._waits.sending_since = self._now()
        await self._socket.send(data)  # may wait for ever for a client that does not read: see `check_deadlines`
        self._waits.sending_since = None
