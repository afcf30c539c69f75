"""A stream on a server, as its user sees it: `RemoteStream`, made by `connect`.

One task reads from the server into a bounded queue. Another one feeds a source to the server, if the user asks for it.
A lost connection is replaced and an encoding stream resumes: its codes are those of an unbroken run.

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
from ...errors import ProtocolError, ServiceError, StreamClosedError
from ...streaming.checks import check_levels
from ...system.copying import NeverCopied
from ..items import END, End, Frames, Gap, each
from ..protocol.binary import Incoming, PayloadFormat, PayloadKind
from ..protocol.constants import Close
from ..protocol.text import Done, Drain, GapMark, Marker, Message, Ready, Resumed, SetLevels, Start, Stop
from ..tasks import QueueReader, begin, put_at_once, wait_through_cancellation
from .endpoint import Endpoint
from .keepalive import keep_alive
from .markers import Markers
from .messages import checked
from .resend import ResendBuffer
from .resume import ResumableConnection
from .timing import FrameTiming, RemoteStats

_EARLY_CLOSE_SECONDS = 2.0  # to wait for the server's close frame when the user leaves before the end
Item = Frames | Gap | Marker | Pcm  #: what `RemoteStream` yields


class RemoteStream(NeverCopied, error=ServiceError, holds="a connection", instead="call connect again"):
    """One stream on a server: an async context manager, and inside it an async iterator.

    An encoding stream yields `Frames`, a `Gap` for each gap that the server has handled, and the `Marker` messages that
    were asked for. A decoding stream yields samples, float32 ``[n]``, and markers. The iteration ends when the server
    is done; `done` then has the totals.

    Anything else that ends the stream is raised, after the items before it have been read: `ServiceError` (the server
    refused or went away; ``code`` is its close code), `ProtocolError`, or the exception of a source that was fed.

    Where nothing is sent for a while, an empty message tells the server that there is still a client.
    Leaving early closes the connection and gives up the stream. No task or socket is left.

    Attributes:
        ready: the server's description of its codec and this stream; set on entering.
        done: the server's totals; None before the end.
        sample_rate: of the samples, Hz; set on entering.
    """

    ready: Ready

    def __init__(self, endpoint: Endpoint, start: Start, queue_size: int, resume: float) -> None:
        self._start, self._timeout, self._encoding = start, endpoint.timeout, start.mode == "encode"
        self._connection = ResumableConnection(endpoint, start, resume)
        self._markers, self._last_gap = Markers(), -1  # the position of the last gap that the server has handled
        self.done: Done | None = None
        self._queue: asyncio.Queue[Item | End] = asyncio.Queue(queue_size)
        self._items = QueueReader[Item | End](self._queue, END)
        self._error: Exception | None = None
        self._raised = self._stopped = self._entered = self._draining = self._leaving = False
        self._feeding: asyncio.Task[None] | None = None
        self._resending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RemoteStream, {self._start.mode}: {self._queue.qsize()} items wait{', done' if self.done else ''}>"

    async def __aenter__(self) -> RemoteStream:
        if self._entered:
            raise StreamClosedError("this stream was entered before; call connect again for another")
        self._entered = True
        self.ready = ready = await self._connection.open()
        self.sample_rate = self._start.sample_rate or ready.sample_rate
        pcm, codes = PayloadKind.PCM, PayloadKind.CODES
        sent, received = (pcm, codes) if self._encoding else (codes, pcm)
        payload_format = PayloadFormat(self._start.format, ready.codebook_size, range(1, ready.codebooks + 1))
        self._resend = ResendBuffer(sent, ready.max_message, payload_format, self._connection.resumable)
        self._incoming = Incoming(received, payload_format)
        self._timing = FrameTiming(self.sample_rate, ready.hop / ready.sample_rate)
        self._reading = begin(self._read(), "streamrvq-client")
        self._keeping = asyncio.create_task(keep_alive(self._connection, self._resend, self._start, ready))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        tasks = [task for task in (self._feeding, self._reading, self._resending, self._keeping) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            for task in tasks:
                await wait_through_cancellation(task, pass_on=True)
        finally:
            await self._connection.close(self._timeout if self.done else _EARLY_CLOSE_SECONDS)
        if error is None:
            self._raise_once()

    async def send(self, block: Any) -> None:
        """Send samples ``[n]`` (float32 in [−1, 1], or int16) or, to a decoding stream, codes ``[K, n]`` (integers).
        With the formats ``"mulaw"`` and ``"alaw"``, uint8 ``[n]`` are their bytes, and are sent as they are. Returns
        when the connection has taken them; they may be encoded much later. Cancelled while it waits, it has taken them
        all the same: they go out with the next call, or after a while.

        Raises:
            InputError: bad samples or codes; nothing was sent.
            StreamClosedError: after `stop`, or before it was entered.
            ServiceError, ProtocolError: the stream has ended.
        """
        self._check_open("send")
        self._resend.put(block)
        if self._encoding:
            self._timing.sent(self._resend.pos, time.monotonic())
        await self._send_pending()

    async def gap(self, samples: int) -> None:
        """Report ``samples`` lost samples. The server fills up to one second with zeros; after a longer gap it begins
        a new stream. Raises as `send` does."""
        self._check_open("gap")
        gap = checked(GapMark(pos=self._resend.pos, samples=samples))
        self._resend.add_text(gap.to_json(), gap.samples)
        await self._send_pending()

    async def marker(self, id: int | str) -> None:
        """Ask for a `Marker` among the items, after the items of everything sent before. Raises as `send` does."""
        await self._send_message(Marker(id=id))

    async def set(self, n_quantizers: int) -> None:
        """Encode with ``n_quantizers`` codebooks from the first frame that has not begun. Raises as `send` does."""
        self._check_open("set")
        check_levels(n_quantizers, self.ready.codebooks)
        await self._send_message(SetLevels(n_quantizers=n_quantizers))

    async def stop(self) -> None:
        """End the input: the remaining items come, then the iteration ends. May be repeated. Raises as `send` does."""
        await (self._send_pending() if self._stopped else self._send_message(Stop()))

    def feed(self, source: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Send a whole source in the background, then `stop`. Its items are blocks, as for `send`, and `Gap` marks.

        An exception of the source ends the stream as `stop` does. It is raised after the last item was read.

        Raises:
            StreamClosedError: a source is being fed already; otherwise as `send`.
        """
        if self._feeding is not None:
            raise StreamClosedError("a source is being fed already; a stream has one")
        self._check_open("feed")
        self._feeding = begin(self._feed(source), "streamrvq-feed")

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
        except Exception as error:  # then the reading task has ended too
            self._error = self._error or error

    async def _send_message(self, message: Message) -> None:
        self._check_open(message.type)
        message = checked(message)
        if isinstance(message, Marker):
            self._markers.ask(message.id, self._resend.pos)
        self._resend.add_text(message.to_json())
        self._stopped |= isinstance(message, Stop)  # even if sending it is cancelled
        await self._send_pending()

    def _check_entered(self, doing: str) -> None:
        if not self._entered:
            raise StreamClosedError(f"{doing} before `async with`; write `async with connect(…) as stream:`")

    def _check_open(self, doing: str) -> None:
        self._check_entered(doing)
        if self._reading.done() and self._error is not None:
            raise self._error
        if self._draining:
            raise ServiceError("the server is going down; what was sent is still encoded", Close.RESTART)
        if self._stopped or self.done:
            raise StreamClosedError(f"{doing} after stop; connect again for another stream")

    async def _send_pending(self) -> None:
        try:
            await self._connection.send_pending(self._resend)
        except ServiceError as error:
            # The reading task knows the reason better, if it gets that far: the queue may be full.
            await asyncio.wait([self._reading], timeout=1)
            raise self._error or error from None

    def stats(self) -> RemoteStats:
        """The figures so far. Raises `StreamClosedError` before the stream was entered."""
        self._check_entered("stats")
        return self._timing.stats(self._connection.lost)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        self._check_entered("items are read")
        if self._reading.done() and self._queue.empty():
            raise StopAsyncIteration
        item = await self._items.get()
        if item is END:
            self._raise_once()
            raise StopAsyncIteration
        return item

    def _raise_once(self) -> None:
        if self._error is not None and not self._raised:
            self._raised = True
            raise self._error

    async def _read(self) -> None:
        """The reading task: move everything from the server to the queue, then `END`."""
        try:
            try:
                await self._read_all()
            except Exception as error:
                self._error = self._error or error  # an error of the source came first
            finally:
                self._connection.stop_resuming()
            await self._queue.put(END)
        except BaseException as error:
            if not self._leaving and self._error is None:  # somebody else's cancellation, or of a signal's handler
                self._error = StreamClosedError(f"this stream was cut off: {type(error).__name__} came from outside")
            put_at_once(self._queue, END)
            raise

    async def _read_all(self) -> None:
        while self.done is None:
            message = await self._connection.receive(lambda: self._incoming.pos, self._resend)
            if isinstance(message, Done):
                self._incoming.check_end(message.frames if self._encoding else message.samples)
                self.done = message
            elif (item := self._item(message)) is not None:
                await self._queue.put(item)
        if self._draining:
            self._connection.stop_resuming()  # nothing is left to receive
            await self._connection.receive(lambda: self._incoming.pos, self._resend)  # raises the server's reason

    def _item(self, message: Message | bytes) -> Item | None:
        match message:
            case bytes():
                array = self._incoming.take(message)
                if not self._encoding or not array.shape[-1]:
                    return as_pcm(array) if array.shape[-1] else None
                frames = self._timing.frames(self._incoming.pos - array.shape[1], array, time.monotonic())
                self._resend.trim(self._timing.covered_samples(self._incoming.pos))
                return frames
            case Marker():
                frame = self._incoming.pos
                return message if self._markers.take(message.id, frame, self._timing.reached_samples(frame)) else None
            case GapMark():
                if message.pos <= self._last_gap:
                    return None
                self._last_gap = message.pos
                return self._timing.gap(message.pos, message.samples, bool(message.filled), message.next_frame or 0)
            case Resumed():
                self._incoming.renumber()
                self._markers.resume(self._incoming.pos)
                self._send_pending_in_background()
                return None
            case Drain():
                self._drain()
                return None
        raise ProtocolError(f"the server sent {message.type} in the middle of a stream")

    def _send_pending_in_background(self) -> None:
        """Send what is pending even if the user sends nothing more. A task that already does so continues."""
        if self._resending is None or self._resending.done():
            self._resending = asyncio.create_task(self._resend_pending(), name="streamrvq-resend")

    async def _resend_pending(self) -> None:
        with suppress(ServiceError):  # the reading task raises it too
            await self._connection.send_pending(self._resend, patient=True)

    def _drain(self) -> None:
        """The server is shutting down: what is pending now is the last that it receives."""
        if not self._stopped:
            self._draining = self._stopped = True
            self._resend.add_text(Stop().to_json())
            self._send_pending_in_background()
