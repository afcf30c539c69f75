"""The client of the websocket service: `connect`.

    async with streamrvq.connect("ws://127.0.0.1:8000", sample_rate=48_000) as stream:
        stream.feed(microphone)                # or: await stream.send(block) …, await stream.stop()
        async for item in stream: ...          # Frames or Gap

One task reads from the server into a bounded queue; another, if asked for, feeds a source to it.

Knows: tasks, the queue, errors. Does not know: websockets (link.py), the wire format (wire.py, messages.py), times and
latencies (reckoning.py), codecs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Literal

from ..audio.pcm import Pcm, as_pcm
from ..errors import InputError, ProtocolError, ServiceError, StreamClosedError
from .items import END, End, Frames, Gap
from .link import Link, open_link
from .messages import Done, GapMark, Marker, Message, Ready, SetLevels, Start, Stop, parse
from .reckoning import Reckoning, RemoteStats
from .wire import Arrays, Incoming, Kind, Outgoing
from .worker import outlast

# How long to wait for the server's goodbye when the stream is left before its end.
_LEAVING_SECONDS = 2.0

#: What `RemoteStream` yields.
Item = Frames | Gap | Marker | Pcm


def connect(
    url: str, mode: Literal["encode", "decode"] = "encode", sample_rate: int | None = None, format: str = "f32le",
    n_quantizers: int | None = None, token: str | None = None, queue_size: int = 1024, timeout: float = 30.0,
) -> RemoteStream:  # fmt: skip
    """A stream on a server (``streamrvq serve``).

    Args:
        url: ``ws://host:port`` or ``wss://…``.
        mode: ``"encode"``: send samples, get codes; ``"decode"``: the other way round.
        sample_rate: of the samples, whoever sends them, Hz, 8000 to 192 000; None: the server's codec's.
        format: of the samples on the wire: ``"f32le"``, or ``"s16le"``, half as large, to which float samples are
            rounded.
        n_quantizers: levels to encode with; None: all of the codec's. For decoding leave it out.
        token: where the server wants one.
        queue_size: items that wait for the reader. While it is full the server is not read, and in the end stops
            reading itself; a client that never reads is cut off.
        timeout: seconds to wait for the server: to answer, to take a message, to close.

    Returns:
        `RemoteStream`, an async context manager; it connects on entering.

    Raises:
        InputError: a setting that no server takes.
        ServiceError: on entering: no connection, or the server refused (``code`` says why).
    """
    return RemoteStream(url, mode, sample_rate, format, n_quantizers, token, queue_size, timeout)


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
        queue_size: int, timeout: float,
    ) -> None:  # fmt: skip
        if not url.startswith(("ws://", "wss://")):
            raise InputError(f"url is {url!r}; wanted ws://host:port or wss://host:port")
        if queue_size < 1:
            raise InputError(f"queue_size is {queue_size}; wanted a whole number of items, at least 1")
        self._url, self._timeout = url, timeout
        self._start = Start(mode=mode, sample_rate=sample_rate, format=format, n_quantizers=n_quantizers)
        try:
            parse(self._start.to_json(), "client")
        except ProtocolError as error:
            raise InputError(str(error)) from None
        self._encoding, self._token = mode == "encode", token
        self.done: Done | None = None
        self._queue: asyncio.Queue[Item | End] = asyncio.Queue(queue_size)
        self._error: Exception | None = None
        self._raised = self._stopped = False
        self._link: Link | None = None
        self._feeding: asyncio.Task[None] | None = None

    # ------------------------------------------------------------- opening and closing

    async def __aenter__(self) -> RemoteStream:
        if self._link is not None:
            raise StreamClosedError("this stream was entered before; call connect again for another")
        self._link = link = await open_link(self._url, self._token, self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                await link.send(self._start.to_json())
                ready = await link.receive()
            if not isinstance(ready, Ready):
                raise ProtocolError("the server's first message was not ready")
        except BaseException as error:
            await link.close(_LEAVING_SECONDS)
            if isinstance(error, TimeoutError):
                raise ServiceError(f"{self._url} did not answer within {self._timeout:g} s") from None
            raise
        self.ready, self.sample_rate = ready, self._start.sample_rate or ready.sample_rate
        there, back = (Kind.PCM, Kind.CODES) if self._encoding else (Kind.CODES, Kind.PCM)
        arrays = Arrays(self._start.format, ready.codebook_size, range(1, ready.codebooks + 1))
        self._outgoing, self._incoming = Outgoing(there, ready.max_message, arrays), Incoming(back, arrays)
        self._reckoning = Reckoning(self.sample_rate, ready.hop / ready.sample_rate)
        self._reading = asyncio.create_task(self._read(), name="streamrvq-client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._link is not None
        tasks = [task for task in (self._feeding, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            for task in tasks:
                await outlast(task, pass_on=True)
        finally:
            await self._link.close(self._timeout if self.done else _LEAVING_SECONDS)
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
        messages = self._outgoing.pack(self._outgoing.check(block))
        if self._encoding:
            self._reckoning.sent(self._outgoing.pos, time.monotonic())
        for message in messages:
            await self._put(message)

    async def gap(self, samples: int) -> None:
        """Say that so many samples were lost where the stream stands. Up to one second is filled with zeros; more
        begins a new stream behind it. Raises as `send`."""
        self._need_open("gap")
        if samples < 1:
            raise InputError(f"a gap of {samples} samples; wanted at least 1")
        await self._put(GapMark(pos=self._outgoing.pos, samples=samples).to_json())
        self._outgoing.skip(samples)

    async def marker(self, id: int | str) -> None:
        """Ask for a `Marker` among the items, once everything sent before it has come out. Raises as `send`."""
        await self._tell(Marker(id=id))

    async def set(self, n_quantizers: int) -> None:
        """Encode with so many levels, from the next frame on. Raises as `send`."""
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
            blocks = aiter(source) if isinstance(source, AsyncIterable) else _each(source)
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
        await self._put(text)

    def _need_open(self, doing: str) -> None:
        if self._link is None:
            raise StreamClosedError(f"{doing} before `async with`; write `async with connect(…) as stream:`")
        if self._reading.done() and self._error is not None:
            raise self._error
        if self._stopped or self.done:
            raise StreamClosedError(f"{doing} after stop; connect again for another stream")

    async def _put(self, data: str | bytes) -> None:
        assert self._link is not None
        try:
            await self._link.send(data)
        except ServiceError as error:
            # The reader knows better why, if it comes to it: it may have to wait for room first.
            await asyncio.wait([self._reading], timeout=1)
            raise self._error or error from None

    # ------------------------------------------------------------- from the server

    def stats(self) -> RemoteStats:
        """The figures so far."""
        return self._reckoning.stats()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        if self._link is None:
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
        assert self._link is not None
        try:
            while self.done is None:
                message = await self._link.receive()
                if isinstance(message, Done):
                    self.done = message
                elif (item := self._item(message)) is not None:
                    await self._queue.put(item)
        except Exception as error:
            self._error = self._error or error  # a source's own error came first
        await self._queue.put(END)

    def _item(self, message: Message | bytes) -> Item | None:
        match message:
            case bytes():
                array = self._incoming.take(message)
                if not self._encoding or not array.shape[-1]:
                    return as_pcm(array) if array.shape[-1] else None
                return self._reckoning.frames(self._incoming.pos - array.shape[1], array, time.monotonic())
            case Marker():
                return message
            case GapMark():
                return self._reckoning.gap(message.pos, message.samples, bool(message.filled), message.next_frame or 0)
        raise ProtocolError(f"the server sent {message.type} in the middle of a stream")


async def _each(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item
