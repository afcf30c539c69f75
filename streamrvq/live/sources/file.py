"""An audio file as a live source: its samples at the pace of a microphone, or at full speed.

Knows: files and the time. Does not know: codecs, tokens, queues, rate conversion.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any

from ...audio.byte_source import Source
from ...audio.files import AudioReader, Truncated, open_audio
from ...audio.pcm import Pcm
from ...errors import AudioFileError, InputError, StreamClosedError
from ...system.foreign_data import is_whole, shown
from ..items import OnePass
from ..worker import Worker


class Pace:
    """When sample ``n`` is due: ``start + n / rate``. Every due time is computed from the start, so no error builds up.

    Args:
        rate: samples a second.
        now: the time in seconds.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        rate: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate, self._now, self._sleep = rate, now, sleep
        self.start = now()  #: when sample 0 began

    async def until(self, position: int) -> None:
        """Wait until sample ``position`` is due; return at once if it already was."""
        # A sleep may end a little early because the timer is coarse.
        while (wait := self.start + position / self.rate - self._now()) > 0:
            await self._sleep(wait)


class _Pass:
    """One pass through the file: an open reader and the thread that reads with it.

    Args:
        open: opens the reader.
        reader: one that is open already.
    """

    def __init__(self, open: Callable[[], AudioReader], reader: AudioReader | None = None) -> None:
        self._make = open
        self._worker = Worker("streamrvq-file")
        self._reader = reader

    def _read(self, samples: int) -> Pcm:
        if self._reader is None:
            self._reader = self._make()
        return self._reader.read(samples)

    async def read(self, samples: int) -> Pcm:
        return await self._worker.run(self._read, samples)

    async def close(self) -> None:
        await self._worker.close(lambda: self._reader.close() if self._reader is not None else None)


class _Begun:
    """When one pass began; see `File.start_time`."""

    start_time: float | None = None


class _FilePass(OnePass[Pcm]):
    """One pass through a file. Its ``start_time`` is its own, whatever passes begin later."""

    def __init__(self, items: AsyncGenerator[Pcm, None], cancelled: str, begun: _Begun) -> None:
        super().__init__(items, cancelled)
        self._begun = begun

    @property
    def start_time(self) -> float | None:
        return self._begun.start_time


class File:
    """A file as an async iterable of mono float32 blocks ``[n]``; the last one is shorter.

        async for block in streamrvq.File("talk.flac"): ...

    In real time, a block is handed out when its last sample would have been captured, measured by the monotonic clock
    from the first request. Unlike a microphone, a file waits: a late reader gets all blocks that are due at once and
    loses none.

    Each ``async for`` is a new pass from the start, with a reading thread of its own. The thread ends with the pass: at
    the end of the file, on an error, on a cancellation while it reads or waits, and soon after ``break``. It ends at
    the latest on `aclose` or at the end of ``async with``. Iterating a cancelled pass further raises
    `StreamClosedError`, so a read with a timeout does not look like the end of the file.

    A pipe and an object that cannot seek are read once, so they have one pass.

    Args:
        path: the file, or an open file object (`streamrvq.audio.files.open_audio`).
        realtime: False: as fast as blocks are requested.
        block: samples a block; None: 10 ms in real time, 200 ms at full speed.
        downmix: take the mean of several channels; without it they are an error.
        channel: take this one of several channels, from 0.
        truncated: ``"refuse"`` what ends before its header says, or is damaged; or ``"keep"`` what there is of it.
        track: of several audio tracks this one, from 0; without it they are an error.

    Attributes:
        path: as it was given; of a file object its name.
        sample_rate: of the file, Hz.
        frames: samples that the file claims to have; 0: it does not say.
        start_time: in real time, `time.monotonic` at sample 0 of the latest pass. None before the first pass, and
            always None at full speed, where no such time exists.

    Raises:
        AudioFileError: no such file, not audio, or cut off. The iteration raises it if only decoding shows the fault,
            or for a second pass through what is read once.
        StreamClosedError: the iteration raises it for a pass that `aclose` ended, or for the only one.
        InputError: several channels or tracks without a choice, or a bad ``block``. The iteration raises it for a
            second pass at the same time through a file object.
    """

    def __init__(
        self, path: Source, realtime: bool = True, block: int | None = None, downmix: bool = False,
        channel: int | None = None, truncated: Truncated = "refuse", track: int | None = None,
    ) -> None:  # fmt: skip
        if block is not None and not is_whole(block, 1):
            raise InputError(f"block is {shown(block)}; wanted a whole number of samples, at least 1")
        self._source = path
        self._how: dict[str, Any] = {
            "downmix": downmix, "channel": channel, "truncated": truncated, "track": track,
        }  # fmt: skip
        reader = self._opened()
        self.path, self.sample_rate, self.frames = reader.path, reader.sample_rate, reader.frames
        self._once, self._first = reader.once, reader if reader.once else None
        self._closed_unread = False
        if not reader.once:
            reader.close()
        self.realtime, self.downmix = realtime, downmix
        self.block = block or max(1, self.sample_rate // (100 if realtime else 5))
        self.start_time: float | None = None
        self._open: set[_Pass] = set()

    def _opened(self) -> AudioReader:
        return open_audio(self._source, **self._how)

    def __repr__(self) -> str:
        pace = "in real time" if self.realtime else "as fast as it is read"
        return f"<File {self.path}: {self.sample_rate} Hz, {pace}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or another process, makes passes of its own."""
        if self._once or not isinstance(self._source, (str, os.PathLike)):
            raise InputError(f"{self.path} is no file that can be opened again; wanted a path, to make a copy of it")
        how = self._how
        return File, (
            os.path.abspath(self.path), self.realtime, self.block, self.downmix, how["channel"], how["truncated"],
            how["track"],
        )  # fmt: skip

    def _begun(self) -> _Pass:
        if self._once:
            reader, self._first = self._first, None
            if self._closed_unread:
                raise StreamClosedError(f"{self.path} is read once, and was closed before that; open it again")
            if reader is None:
                raise AudioFileError(f"{self.path} is read once, and that pass is over; open it again, or use a file")
            return _Pass(self._opened, reader)
        if self._open and not isinstance(self._source, (str, os.PathLike)):
            raise InputError(f"another pass through {self.path} is open; end it first, or give a path")
        return _Pass(self._opened)

    def __aiter__(self) -> OnePass[Pcm]:
        begun, cancelled = _Begun(), f"this pass through {self.path} was cancelled; iterate the file for a new one"
        return _FilePass(self._blocks(begun), cancelled, begun)

    async def _blocks(self, begun: _Begun) -> AsyncGenerator[Pcm, None]:
        current = self._begun()
        self._open.add(current)
        try:
            position, pace = 0, None
            if self.realtime:
                pace = Pace(self.sample_rate)
                self.start_time = begun.start_time = pace.start
            while len(block := await current.read(self.block)):
                position += len(block)
                if pace is not None:
                    await pace.until(position)
                yield block
        finally:
            await current.close()
            self._open.discard(current)

    async def aclose(self) -> None:
        """End every open pass: no thread and no open file is left. Iterating such a pass further raises.

        So does the first pass through what is read once.
        """
        while self._open:
            current = next(iter(self._open))
            await current.close()
            self._open.discard(current)
        if self._first is not None:
            first, self._first, self._closed_unread = self._first, None, True
            first.close()

    async def __aenter__(self) -> File:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
