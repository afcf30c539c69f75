"""A client's connection to its stream on a server, and another one when it breaks.

Whoever reads finds out that a connection is lost and makes the next (`receive`); whoever sends waits for it meanwhile
(`pump`), and goes on with what the server has not had. Only an encoding stream can be taken up again, and only after a
loss: a close that the server sent is an answer.

Knows: connections, resuming, patience. Does not know: samples, frames, what the messages mean to the user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import ProtocolError, ServiceError
from ..protocol.constants import Close
from ..protocol.text import Message, Ready, Resume, Resumed, Start
from .connection import Connection, open_connection
from .resend import ResendBuffer

#: Waits between attempts, in seconds: doubled each time from the first to the last.
_FIRST_WAIT, _LAST_WAIT = 0.1, 2.0
#: Ends of an attempt that another may be better than.
_PASSING = {0, Close.LOST, Close.FULL, 1001}


class ResumableConnection:
    """Args:
        url, start, token: where to, and what is asked for.
        timeout: seconds to wait for the server.
        patience: seconds to try to come back; 0: a lost connection is the end.

    Attributes:
        lost: connections lost so far.
    """

    def __init__(self, url: str, start: Start, token: str | None, timeout: float, patience: float) -> None:
        self._url, self._start, self._token, self._timeout = url, start, token, timeout
        self._patience = patience if start.mode == "encode" else 0.0
        self._current: Connection | None = None
        self._session = ""
        self._back = asyncio.Event()
        self._turn = asyncio.Lock()
        self._ended = False
        self.lost = 0

    @property
    def resumable(self) -> bool:
        """Whether a lost connection may be replaced."""
        return self._patience > 0

    async def open(self) -> Ready:
        """Connect and start. Raises `ServiceError` or `ProtocolError`; nothing is left open then."""
        ready = await self._introduce(self._start, self._timeout)
        if not isinstance(ready, Ready):
            await self.close(0.0)
            raise ProtocolError("the server's first message was not ready")
        self._session = ready.session
        self._back.set()
        return ready

    async def _introduce(self, first: Message, seconds: float) -> Message:
        """Connect, say the first message and hear the answer, all within so many seconds."""
        connection = None
        try:
            async with asyncio.timeout(seconds):
                self._current = connection = await open_connection(self._url, self._token, self._timeout)
                await connection.send(first.to_json())
                answer = await connection.receive()
        except BaseException as error:
            if connection is not None:
                await connection.close(seconds)
            if isinstance(error, TimeoutError):
                raise ServiceError(f"{self._url} did not answer within {seconds:g} s") from None
            raise
        if isinstance(answer, bytes):
            raise ProtocolError("the server's first message was binary")
        return answer

    async def receive(self, next_frame: Callable[[], int], resend: ResendBuffer) -> Message | bytes:
        """The next message. A `Resumed` among them: binary messages are numbered anew from here on.

        Args:
            next_frame: the first frame that has not come yet.
            resend: what is sent again.

        Raises:
            ServiceError: the server refused or closed, or the connection is lost for good.
            ProtocolError: the message is not of the protocol.
        """
        assert self._current is not None
        try:
            return await self._current.receive()
        except ServiceError as error:
            if error.code not in (Close.LOST, 1001) or not self.resumable or self._ended:
                raise
            self._back.clear()
            self.lost += 1
            return await self._rejoin(next_frame(), resend, error)

    async def _rejoin(self, next_frame: int, resend: ResendBuffer, error: ServiceError) -> Resumed:
        clock, wait = asyncio.get_running_loop().time, _FIRST_WAIT
        deadline = clock() + self._patience
        while True:
            assert self._current is not None
            await self._current.close(0.0)
            try:
                again = Resume(session=self._session, next_frame=next_frame)
                answer = await self._introduce(again, min(self._timeout, max(wait, deadline - clock())))
                if not isinstance(answer, Resumed) or answer.next_frame != next_frame:
                    raise ProtocolError("the server's answer to resume was not resumed at the frame that was asked for")
                resend.rewind(answer.pos)
                self._back.set()
                return answer
            except ServiceError as refusal:
                if refusal.code not in _PASSING or clock() + wait > deadline:
                    why = f"{error}; and could not be resumed: {refusal}"
                    raise ServiceError(why, refusal.code or error.code) from None
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LAST_WAIT)

    async def pump(self, resend: ResendBuffer) -> None:
        """Send what stands in the line. Raises `ServiceError`: the stream has ended, or ends now."""
        async with self._turn:
            while True:
                # While a new connection introduces itself the line is still numbered as for the old one.
                await self._back.wait()
                if (message := resend.next()) is None:
                    return
                await self._send(message)

    async def _send(self, message: str | bytes) -> None:
        connection = self._current
        assert connection is not None
        try:
            await connection.send(message)
        except ServiceError:
            if not self.resumable:
                raise
            # Whoever reads knows first; it may have to read on before it comes to the end.
            while self._current is connection and not self._ended:
                self._back.clear()
                await self._back.wait()
            if self._ended:
                raise

    def end(self) -> None:
        """Nobody reads any more: no connection will be made."""
        self._ended = True
        self._back.set()

    async def close(self, seconds: float) -> None:
        """Close, and cut the connection if the server does not answer in so many seconds."""
        if self._current is not None:
            await self._current.close(seconds)
