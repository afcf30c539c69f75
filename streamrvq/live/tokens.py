"""From a live source to a queue of codes: one encoder stream under asyncio.

    async with streamrvq.tokenize(streamrvq.File("talk.flac"), codec) as tokens:
        async for item in tokens: ...      # Frames or Gap; or await tokens.queue.get() until it is END

One task takes blocks from the source and puts items on the queue. One worker thread computes; the event loop never
does.

Knows: tasks, the queue, what must be closed. Does not know: hops, delays, files, sound devices, the gap policy
(segments.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, SourceError, StreamClosedError
from ..streaming.checks import check_count
from ..system.copying import NeverCopied
from ..system.foreign_data import shown
from .items import END, End, Frames, Gap
from .segments import Segments
from .stats import Meter, TokenStats
from .tasks import QueueReader, begin, put_at_once, wait_through_cancellation
from .worker import Worker

if TYPE_CHECKING:
    from ..codec import Codec

# The most audio of one call in the worker, in seconds: a cancellation must wait for the call to end.
_PIECE_SECONDS = 0.25


def tokenize(
    source: AsyncIterable[Any], codec: Codec, queue_size: int = 64, sample_rate: int | None = None,
    n_quantizers: int | None = None, tail: str = "pad",
) -> Tokens:  # fmt: skip
    """Encode a live source. The codes of all `Frames` together are ``codec.encode`` of all its samples.

    Args:
        source: `File`, or any async iterable of blocks (arrays ``[n]`` of any sizes, float32 in [−1, 1] or int16) and
            `Gap` marks. A loss of up to one second is filled with zeros. A longer one ends the stream and begins
            another: the index continues, and `Frames.time` jumps by the loss. The `Gap` itself comes out in both cases.
            A gap that is filled comes out at once. Frames from before it may follow, if the codec still owes them.
            A longer gap comes out between the frames of the two streams.
        codec: from `streamrvq.load`.
        queue_size: items that fit the queue. While it is full, encoding and the source wait; no code is dropped.
        sample_rate: of the source, Hz; None: the source's ``sample_rate`` attribute, or the codec's own rate.
        n_quantizers: levels; None: all.
        tail: ``"pad"`` or ``"valid"``, as in ``codec.encode``.

    Returns:
        `Tokens`, an async context manager. It raises errors of the other settings when it is entered.

    Raises:
        InputError: a bad ``queue_size``.
        SourceError: the source is no async iterable.
    """
    return Tokens(source, codec, queue_size, sample_rate, n_quantizers, tail)


class Tokens(NeverCopied, error=SourceError, holds="a task and a thread", instead="call tokenize again"):
    """Codes as they come: an async context manager, and within it an async iterator over `Frames` and `Gap`.

    A bad block or an exception in the source ends the tokens. What was received before is encoded to its end, then
    `END` comes. The exception is raised once: by ``async for`` after the items before it, or, for a reader of the
    queue, at the end of ``async with``. An exception in the codec does the same, but nothing more is encoded.

    Leaving stops the work at once. The items on the queue stay if `END` fits after them; otherwise they are discarded.
    No task, thread or file is left, and the source's iterator is closed (``aclose``).

    Attributes:
        queue: bounded ``asyncio.Queue`` of `Frames` | `Gap`, ended by one `END`.
        sample_rate: of the source, Hz; set on entering.
    """

    def __init__(
        self, source: AsyncIterable[Any], codec: Codec, queue_size: int, sample_rate: int | None,
        n_quantizers: int | None, tail: str,
    ) -> None:  # fmt: skip
        check_count("queue_size", queue_size)  # to asyncio 0 means "no limit"
        if not hasattr(source, "__aiter__"):
            came = type(source).__name__
            raise SourceError(f"the source is a {came}; wanted an async iterable of blocks such as streamrvq.File")
        self.queue: asyncio.Queue[Frames | Gap | End] = asyncio.Queue(queue_size)
        self._reader = QueueReader[Frames | Gap | End](self.queue, END)
        self._source, self._codec, self._settings = source, codec, (n_quantizers, tail)
        self.sample_rate, self._asked_rate = 0, sample_rate
        self._meter = Meter()
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._entered = self._leaving = False

    def __repr__(self) -> str:
        state = "not entered" if self._task is None else "ended" if self._task.done() else "running"
        return f"<Tokens, {state}: of {self._source}, {self.queue.qsize()} items wait>"

    def stats(self) -> TokenStats:
        """The statistics so far. Call it from the event loop."""
        return self._meter.stats()

    async def __aenter__(self) -> Tokens:
        if self._entered:
            raise StreamClosedError("these tokens were entered before; call tokenize again for another run")
        stated, asked = getattr(self._source, "sample_rate", None), self._asked_rate
        if stated is not None and asked is not None and stated != asked:
            raise InputError(f"sample_rate is {shown(asked)}, but the source says {stated}; leave sample_rate out")
        rates = [rate for rate in (asked, stated, self._codec.sample_rate) if rate is not None]
        self._worker, self._entered = Worker("streamrvq-tokens"), True
        try:
            self._segments = await self._worker.run(Segments, self._codec, rates[0], *self._settings)
            blocks = self._source.__aiter__()
        except BaseException:
            await self._worker.close()
            self._entered = False
            raise
        self.sample_rate = self._segments.sample_rate
        # One pass of a source may know its own start, and another begins meanwhile.
        self._timed: Any = blocks if hasattr(blocks, "start_time") else self._source
        self._task = begin(self._pump(blocks), "streamrvq-tokens")
        return self

    def __aiter__(self) -> AsyncIterator[Frames | Gap]:
        return self

    async def __anext__(self) -> Frames | Gap:
        if self._task is None:
            raise StreamClosedError("tokens are read before `async with`; write `async with tokenize(…) as tokens:`")
        if self._task.done() and self.queue.empty():  # END was taken
            raise StopAsyncIteration
        item = await self._reader.get()
        if item is END:
            self._raise_once()
            raise StopAsyncIteration
        return item

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._leaving = True
        self._task.cancel()
        await wait_through_cancellation(self._task, pass_on=True)
        if error is None:
            self._raise_once()
        elif self._error is not None and isinstance(error, Exception):
            error.add_note(f"the tokens had ended with {self._error!r}")

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _pump(self, blocks: AsyncIterator[Any]) -> None:
        """The task: move everything from the source to the queue, then `END`. Errors are kept for the reader."""
        try:
            try:
                await self._encode(blocks)
            finally:
                await self._close(blocks)
            if not self._leaving:  # else the source swallowed the cancellation
                await self.queue.put(END)
                return
        except BaseException as error:  # a cancellation, or what a signal handler raised here
            if not self._leaving or not isinstance(error, asyncio.CancelledError):
                self._error = self._error or StreamClosedError(
                    f"these tokens ended before their source did: {type(error).__name__} came from outside"
                )
                put_at_once(self.queue, END)
                raise
        put_at_once(self.queue, END)

    async def _close(self, blocks: AsyncIterator[Any]) -> None:
        try:
            if (aclose := getattr(blocks, "aclose", None)) is not None:
                await aclose()
        except Exception as error:
            self._error = self._error or error
        finally:
            await self._worker.close()

    async def _encode(self, blocks: AsyncIterator[Any]) -> None:
        try:
            while (item := await self._pull(blocks)) is not END:
                try:
                    await self._take(item)
                except (InputError, SourceError) as error:  # refused before anything of the block was encoded
                    self._error = error
                    break
            if not self._leaving:
                await self._emit(self._segments.finish)
        except Exception as error:  # of the codec; nothing can be flushed
            self._error = self._error or error

    async def _pull(self, blocks: AsyncIterator[Any]) -> Any:
        """The source's next item; `END` where it ended or failed, or where these tokens are being left."""
        try:
            item = await anext(blocks, END)
            return END if self._leaving else item  # leaving: the source swallowed the cancellation
        except asyncio.CancelledError:
            if _cancelling():
                raise
            self._error = SourceError("the source was cancelled from its own side; let it end or raise instead")
        except Exception as error:
            self._error = error
        return END

    async def _take(self, item: Any) -> None:
        received, rate, meter = time.monotonic(), self._segments.sample_rate, self._meter
        if isinstance(item, Gap):
            fills = self._segments.fills(item)
            if not fills:  # the frames before the gap come out before it
                await self._emit(self._segments.skip, item)
            meter.gaps, meter.lost = meter.gaps + 1, meter.lost + int(item.samples)
            await self._put(item)
            pcm = np.zeros(item.samples if fills else 0, np.float32)
        else:
            pcm = await self._worker.run(self._segments.check, item)
            meter.samples += len(pcm)
        piece = int(_PIECE_SECONDS * rate)
        for start in range(0, len(pcm), piece):
            part = pcm[start : start + piece]
            await self._emit(self._segments.push, part, received=received)
            meter.audio_seconds += len(part) / rate

    async def _emit(self, call: Callable[..., Frames | None], *args: Any, received: float | None = None) -> None:
        """Run a call of the segments in the thread and put its frames; ``received``: the time when its samples came."""
        frames, seconds = await self._worker.run(_timed, call, *args)
        self._meter.pushes += 1
        self._meter.busy_seconds += seconds
        if frames is None:
            return
        await self._put(frames)
        count = frames.codes.shape[-1]
        self._meter.frames += count
        if received is not None:
            now, hop = time.monotonic(), self._codec.hop_length / self._codec.sample_rate
            self._meter.latency(now - received, count)
            if (start := getattr(self._timed, "start_time", None)) is not None:
                first = now - start - frames.time - hop
                self._meter.capture_latency(first - i * hop for i in range(count))

    async def _put(self, item: Frames | Gap) -> None:
        if self.queue.full():
            began = time.monotonic()
            await self.queue.put(item)
            self._meter.waiting_seconds += time.monotonic() - began
        else:
            self.queue.put_nowait(item)


def _timed(call: Callable[..., Frames | None], *args: Any) -> tuple[Frames | None, float]:
    began = time.perf_counter()
    return call(*args), time.perf_counter() - began


def _cancelling() -> bool:
    """Whether this task was cancelled. If not, the source itself raised CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
