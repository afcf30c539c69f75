"""A stream on a server, as its user sees it: `RemoteStream`, made by `connect`.

One task reads from the server into a bounded queue; another, if asked for, feeds a source to it. A connection that is
lost is replaced, and an encoding stream goes on where it was: the codes are those of an unbroken run.

Knows: tasks, the queue, errors. Does not know: websockets (connection.py), how a stream is resumed (resume.py,
resend.py), the wire format (binary.py, text.py), times and latencies (timing.py), codecs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from ...audio.pcm import Pcm, as_pcm
from ...errors import InputError, ProtocolError, ServiceError, StreamClosedError
from ..items import END, End, Frames, Gap, each
from ..protocol.binary import Incoming, PayloadFormat, PayloadKind
from ..protocol.constants import Close
from ..protocol.text import Done, Drain, GapMark, Marker, Message, Ready, Resumed, SetLevels, Start, Stop, parse
from ..worker import wait_through_cancellation
from .resend import ResendBuffer, owned
from .resume import ResumableConnection
from .timing import FrameTiming, RemoteStats

# How long to wait for the server's goodbye when the stream is left before its end.
_LEAVING_SECONDS = 2.0

#: What `RemoteStream` yields.
Item = Frames | Gap | Marker | Pcm


class RemoteStream:
    """One stream on a server: an async context manager, and within it an async iterator.

    Encoding, it yields `Frames`, a `Gap` where the server has taken one up, and the `Marker` messages that were asked
    for. Decoding, it yields samples, float32 ``[n]``, and markers. It ends when the server is done; then `done` has the
    totals. What ends it otherwise is raised, once the items before it have been read: `ServiceError` (the server
    refused or went away; ``code`` is its close code), `ProtocolError`, or the exception of a source that was fed.

    Leaving early closes the connection, and the stream is gone. No task or socket is left.

    Attributes:
        ready: what the server said about its codec and this stream; set on entering.
        done: the server's totals; None before the end.
        sample_rate: of the samples, Hz; set on entering.
    """

    ready: Ready

    def __init__(
        self, url: str, mode: str, sample_rate: int | None, format: str, n_quantizers: int | None, token: str | None,
        queue_size: int, timeout: float, resume: float,
    ) -> None:  # fmt: skip
        if not url.startswith(("ws://", "wss://")):
            raise InputError(f"url is {url!r}; wanted ws://host:port or wss://host:port")
        if queue_size < 1:
            raise InputError(f"queue_size is {queue_size}; wanted a whole number of items, at least 1")
        if resume < 0:
            raise InputError(f"resume is {resume}; wanted seconds, 0 or more")
        self._timeout = timeout
        self._start = Start(mode=mode, sample_rate=sample_rate, format=format, n_quantizers=n_quantizers)
        try:
            parse(self._start.to_json(), "client")
        except ProtocolError as error:
            raise InputError(str(error)) from None
        self._encoding = mode == "encode"
        self._connection = ResumableConnection(url, self._start, token, timeout, resume)
        self._echoes: list[int | str] = []  # of markers that were asked for and have not come
        self._gaps = -1  # the last gap that the server has taken up
        self.done: Done | None = None
        self._queue: asyncio.Queue[Item | End] = asyncio.Queue(queue_size)
        self._error: Exception | None = None
        self._raised = self._stopped = self._entered = self._draining = False
        self._feeding: asyncio.Task[None] | None = None
        self._again: asyncio.Task[None] | None = None

    # ------------------------------------------------------------- opening and closing

    async def __aenter__(self) -> RemoteStream:
        if self._entered:
            raise StreamClosedError("this stream was entered before; call connect again for another")
        self._entered = True
        self.ready = ready = await self._connection.open()
        self.sample_rate = self._start.sample_rate or ready.sample_rate
        there, back = (PayloadKind.PCM, PayloadKind.CODES) if self._encoding else (PayloadKind.CODES, PayloadKind.PCM)
        payload_format = PayloadFormat(self._start.format, ready.codebook_size, range(1, ready.codebooks + 1))
        self._resend = ResendBuffer(there, ready.max_message, payload_format, self._connection.resumable)
        self._incoming = Incoming(back, payload_format)
        self._timing = FrameTiming(self.sample_rate, ready.hop / ready.sample_rate)
        self._reading = asyncio.create_task(self._read(), name="streamrvq-client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [task for task in (self._feeding, self._reading, self._again) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            for task in tasks:
                await wait_through_cancellation(task, pass_on=True)
        finally:
            await self._connection.close(self._timeout if self.done else _LEAVING_SECONDS)
        if error is None:
            self._raise_once()

    # ------------------------------------------------------------- to the server

    async def send(self, block: Any) -> None:
        """Send samples ``[n]`` (float32 in [−1, 1] or int16), or, decoding, codes ``[K, n]`` (integers). Returns when
        the connection has taken them, which may be long before they are encoded.

        Raises:
            InputError: bad samples or codes; nothing was sent.
            StreamClosedError: after `stop`.
            ServiceError, ProtocolError: the stream has ended.
        """
        self._need_open("send")
        array = self._resend.check(block)
        self._resend.block(owned(array, block) if self._connection.resumable else array)
        if self._encoding:
            self._timing.sent(self._resend.pos, time.monotonic())
        await self._pump()

    async def gap(self, samples: int) -> None:
        """Say that so many samples were lost where the stream stands. Up to one second is filled with zeros; more
        begins a new stream behind it. Raises as `send`."""
        self._need_open("gap")
        if samples < 1:
            raise InputError(f"a gap of {samples} samples; wanted at least 1")
        self._resend.text(GapMark(pos=self._resend.pos, samples=samples).to_json(), samples)
        await self._pump()

    async def marker(self, id: int | str) -> None:
        """Ask for a `Marker` among the items, once everything sent before it has come out. Raises as `send`."""
        await self._tell(Marker(id=id))

    async def set(self, n_quantizers: int) -> None:
        """Encode with so many levels, from the first frame on of which nothing has been sent. Raises as `send`."""
        await self._tell(SetLevels(n_quantizers=n_quantizers))

    async def stop(self) -> None:
        """That was all: what is owed comes, then the iteration ends. Again is harmless. Raises as `send`."""
        if not self._stopped:
            await self._tell(Stop())
            self._stopped = True

    def feed(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Send all of a source, in the background, and then `stop`. Items are blocks as for `send`, and `Gap` marks.

        An exception of the source ends the stream like `stop`, and is raised when its items have been read.

        Raises:
            StreamClosedError: a source is being fed already.
        """
        if self._feeding is not None:
            raise StreamClosedError("a source is being fed already; a stream has one")
        self._need_open("feed")
        self._feeding = asyncio.create_task(self._feed(source), name="streamrvq-feed")

    async def _feed(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        try:
            blocks = aiter(source) if isinstance(source, AsyncIterable) else each(source)
            try:
                async for item in blocks:
                    await (self.gap(item.samples) if isinstance(item, Gap) else self.send(item))
                    if self._stopped:
                        break
            finally:
                if (aclose := getattr(blocks, "aclose", None)) is not None:
                    await aclose()
        except Exception as error:
            self._error = self._error or error
        try:
            await self.stop()
        except Exception as error:  # then the reader has ended, too
            self._error = self._error or error

    async def _tell(self, message: Message) -> None:
        self._need_open(message.type)
        text = message.to_json()
        try:
            parse(text, "client")
        except ProtocolError as error:
            raise InputError(str(error)) from None
        if isinstance(message, Marker):
            self._echoes.append(message.id)
        self._resend.text(text)
        await self._pump()

    def _need_open(self, doing: str) -> None:
        if not self._entered:
            raise StreamClosedError(f"{doing} before `async with`; write `async with connect(…) as stream:`")
        if self._reading.done() and self._error is not None:
            raise self._error
        if self._draining:
            raise ServiceError("the server is going down; what was sent is still encoded", Close.RESTART)
        if self._stopped or self.done:
            raise StreamClosedError(f"{doing} after stop; connect again for another stream")

    async def _pump(self) -> None:
        try:
            await self._connection.pump(self._resend)
        except ServiceError as error:
            # The reader knows better why, if it comes to it: it may have to wait for room first.
            await asyncio.wait([self._reading], timeout=1)
            raise self._error or error from None

    # ------------------------------------------------------------- from the server

    def stats(self) -> RemoteStats:
        """The figures so far."""
        return self._timing.stats(self._connection.lost)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        if not self._entered:
            raise StreamClosedError("items are read before `async with`; write `async with connect(…) as stream:`")
        if self._reading.done() and self._queue.empty():
            raise StopAsyncIteration
        item = await self._queue.get()
        if item is END:
            self._raise_once()
            raise StopAsyncIteration
        return item

    def _raise_once(self) -> None:
        if self._error is not None and not self._raised:
            self._raised = True
            raise self._error

    async def _read(self) -> None:
        """The task: everything from the server to the queue, then `END`."""
        try:
            while self.done is None:
                message = await self._connection.receive(lambda: self._incoming.pos, self._resend)
                if isinstance(message, Done):
                    self.done = message
                elif (item := self._item(message)) is not None:
                    await self._queue.put(item)
            if self._draining:
                self._connection.end()  # there is nothing to come back for
                await self._connection.receive(lambda: self._incoming.pos, self._resend)  # says why
        except Exception as error:
            self._error = self._error or error  # a source's own error came first
        finally:
            self._connection.end()
        await self._queue.put(END)

    def _item(self, message: Message | bytes) -> Item | None:
        match message:
            case bytes():
                array = self._incoming.take(message)
                if not self._encoding or not array.shape[-1]:
                    return as_pcm(array) if array.shape[-1] else None
                frames = self._timing.frames(self._incoming.pos - array.shape[1], array, time.monotonic())
                self._resend.trim(self._timing.heard(self._incoming.pos))
                return frames
            case Marker():
                if message.id not in self._echoes:
                    return None  # it came before the connection was lost, too
                self._echoes.remove(message.id)
                return message
            case GapMark():
                if message.pos <= self._gaps:
                    return None
                self._gaps = message.pos
                return self._timing.gap(message.pos, message.samples, bool(message.filled), message.next_frame or 0)
            case Resumed():
                self._incoming.renumber()
                self._pump_beside()
                return None
            case Drain():
                self._drain()
                return None
        raise ProtocolError(f"the server sent {message.type} in the middle of a stream")

    def _pump_beside(self) -> None:
        """What stands in the line goes out, also if nobody sends any more. A task that is at it goes on to the end."""
        if self._again is None or self._again.done():
            self._again = asyncio.create_task(self._pump_quietly(), name="streamrvq-again")

    async def _pump_quietly(self) -> None:
        with suppress(ServiceError):  # the reader sees it, too
            await self._connection.pump(self._resend)

    def _drain(self) -> None:
        """The server goes down: what stands in the line is the last that it gets."""
        if not self._stopped:
            self._draining = self._stopped = True
            self._resend.text(Stop().to_json())
            self._pump_beside()
