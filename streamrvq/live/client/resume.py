"""A client's connection to its stream on a server, which is replaced when it breaks.

The reading task notices that a connection is lost and opens the next one (`receive`). The sending task waits meanwhile
(`send_pending`), then continues with what the server has not received. Only an encoding stream can be resumed, and only
after a loss: if the server closed the connection itself, that is its answer.

The reading task gets no further while nobody reads the items, and who sends may be who should read. So nobody waits for
it with the lock held, and a user's call only so long.

Knows: connections, resuming, how long to try. Does not know: samples, frames, what the messages mean to the user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import ProtocolError, ServiceError
from ..protocol.constants import Close
from ..protocol.text import Message, Ready, Resume, Resumed, Start
from .connection import Connection, open_connection
from .endpoint import Endpoint
from .resend import ResendBuffer

#: Seconds between two attempts: doubled each time, from the first to the last.
_FIRST_WAIT, _LAST_WAIT = 0.1, 2.0
#: RFC 6455: the other side is going away.
_GOING_AWAY = 1001
#: HTTP: a reverse proxy did not reach the server.
_GATEWAY = {502, 503, 504}
#: An attempt that failed with one of these codes is worth repeating. 0: no connection was made.
_RETRYABLE = {0, Close.LOST, Close.FULL, _GOING_AWAY, *_GATEWAY}


class ResumableConnection:
    """One stream's connection, and its replacements.

    Args:
        endpoint: the server.
        start: the stream to open.
        resume_seconds: how long to try to resume; 0: a lost connection ends the stream.

    Attributes:
        lost: connections lost so far.
        last_sent: when a message was last sent, by the event loop's clock; -inf before the first.
    """

    def __init__(self, endpoint: Endpoint, start: Start, resume_seconds: float) -> None:
        self._endpoint, self._start, self._timeout = endpoint, start, endpoint.timeout
        self._resume_seconds = resume_seconds if start.mode == "encode" else 0.0
        self._current: Connection | None = None
        self._session = ""
        self._connected = asyncio.Event()
        self._send_lock = asyncio.Lock()
        self._loss: ServiceError | None = None  # of the current connection
        self._resuming = self._ended = False
        self.lost, self.last_sent = 0, float("-inf")

    @property
    def resumable(self) -> bool:
        """Whether a lost connection may be replaced."""
        return self._resume_seconds > 0

    async def open(self) -> Ready:
        """Connect and start. Raises `ServiceError` or `ProtocolError`; then nothing is left open."""
        ready = await self._handshake(self._start, self._timeout)
        if not isinstance(ready, Ready):
            await self.close(0.0)
            raise ProtocolError("the server's first message was not ready")
        self._session = ready.session
        self._connected.set()
        return ready

    async def _handshake(self, first: Message, seconds: float) -> Message:
        """Connect, send the first message and receive the answer, all within ``seconds``.

        After a failure nothing is left open. A server that refused may answer the close in what is left of the time.
        """
        connection, now = None, asyncio.get_running_loop().time
        deadline = now() + seconds
        try:
            async with asyncio.timeout(seconds):
                self._current = connection = await open_connection(self._endpoint)
                await connection.send(first.to_json())
                answer = await connection.receive()
                if isinstance(answer, bytes):
                    raise ProtocolError("the server's first message was binary")
        except BaseException as error:
            if connection is not None:  # whoever cancels wants no more waiting
                await connection.close(max(0.0, deadline - now()) if isinstance(error, Exception) else 0.0)
            if isinstance(error, TimeoutError):
                raise ServiceError(f"{self._endpoint.route} did not answer within {seconds:g} s") from None
            raise
        return answer

    async def receive(self, next_frame: Callable[[], int], resend: ResendBuffer) -> Message | bytes:
        """The next message. After a `Resumed` the server's binary messages are numbered from 0 again.

        Args:
            next_frame: gives the first frame that has not been received yet.
            resend: the messages to send again.

        Raises:
            ServiceError: the server refused or closed, or the connection is lost for good.
            ProtocolError: the message does not belong to the protocol.
        """
        assert self._current is not None
        try:
            return await self._current.receive()
        except ServiceError as error:
            if error.code not in (Close.LOST, _GOING_AWAY) or not self.resumable or self._ended:
                raise
            self._note_loss(error)
            self.lost += 1
            self._resuming = True
            try:
                return await self._resume(next_frame(), resend, error)
            finally:
                self._resuming = False

    async def _resume(self, next_frame: int, resend: ResendBuffer, error: ServiceError) -> Resumed:
        now, wait = asyncio.get_running_loop().time, _FIRST_WAIT
        deadline = now() + self._resume_seconds
        while True:
            assert self._current is not None
            await self._current.close(0.0)
            try:
                request = Resume(session=self._session, next_frame=next_frame)
                answer = await self._handshake(request, min(self._timeout, max(wait, deadline - now())))
                if not isinstance(answer, Resumed) or answer.next_frame != next_frame:
                    raise ProtocolError("the server's answer to resume was not resumed at the frame that was asked for")
                resend.rewind(answer.pos)
                self._loss = None
                self._connected.set()
                return answer
            except ServiceError as refusal:
                if refusal.code not in _RETRYABLE or now() + wait > deadline:
                    text = f"{error}; and could not be resumed: {refusal}"
                    raise ServiceError(text, refusal.code or error.code) from None
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LAST_WAIT)

    async def send_pending(self, resend: ResendBuffer, patient: bool = False) -> None:
        """Send everything that is pending in ``resend``, over the next connection where this one is lost.

        Args:
            resend: the messages.
            patient: wait for the next connection even while nobody reads the items. A user's call must not.

        Raises:
            ServiceError: the stream has ended, or ends now.
        """
        lost = False
        while True:
            await self._wait_until_connected(patient)
            if lost and self._ended and self._loss is not None:
                raise self._loss
            async with self._send_lock:
                if await self._send_all(resend):
                    break
            lost = True
        # Nothing above waits while the system takes all. A source may not wait either, and we want to read.
        await asyncio.sleep(0)

    async def send_sign_of_life(self, resend: ResendBuffer, levels: int) -> None:
        """Send what is pending, of a call that was cancelled, or else a message that holds nothing.

        Args:
            resend: the messages.
            levels: codes of a frame, for the empty message; 0: it is one of PCM.

        Raises:
            ServiceError: the stream has ended, or ends now.
        """
        await self._wait_until_connected(patient=True)
        async with self._send_lock:
            if self._ended:
                raise ServiceError("the stream has ended", Close.LOST)
            if self._connected.is_set() and (message := resend.empty_message(levels)) is not None:
                await self._send(message)
            else:
                await self._send_all(resend)

    async def _wait_until_connected(self, patient: bool) -> None:
        """Wait until messages can be sent, or the stream has ended.

        During the handshake of a new connection the messages are still numbered for the old one.
        """
        if self._connected.is_set():
            return
        limit = self._timeout + self._resume_seconds
        try:
            async with asyncio.timeout(None if patient else limit):
                await self._connected.wait()
        except TimeoutError:
            if self._resuming:  # which has a limit of its own
                await self._connected.wait()
                return
            loss = self._loss
            assert loss is not None
            self.stop_resuming()
            raise ServiceError(
                f"{loss}; its items were not read for {limit:g} s after that: read them while sending, or send with "
                "feed()",
                loss.code,
            ) from None

    async def _send_all(self, resend: ResendBuffer) -> bool:
        """Send what is pending, while there is a connection. Returns whether nothing is left."""
        while self._connected.is_set():
            if (message := resend.next_message()) is None:
                return True
            await self._send(message)
        return False

    async def _send(self, message: str | bytes) -> None:
        connection = self._current
        assert connection is not None
        self.last_sent = asyncio.get_running_loop().time()
        try:
            await connection.send(message)
        except ServiceError as error:
            if not self.resumable or self._ended:
                raise
            # The reading task decides what happens next. It may have to read on before it finds the connection lost.
            if self._current is connection:
                self._note_loss(error)

    def _note_loss(self, error: ServiceError) -> None:
        self._loss = error
        self._connected.clear()

    def stop_resuming(self) -> None:
        """The reading task has ended: no further connection will be opened."""
        self._ended = True
        self._connected.set()

    async def close(self, seconds: float) -> None:
        """Close; cut the connection if the server does not answer within ``seconds``."""
        if self._current is not None:
            await self._current.close(seconds)
