"""A microphone as a live source: blocks of samples as they are captured, and a mark wherever samples are missing.

    async with streamrvq.Microphone(rate=48_000) as mic:
        async with streamrvq.tokenize(mic, codec) as tokens: ...

PortAudio's thread copies each block into a ring (ring.py). The event loop reads the ring, asks the model of the
device's clock (clock.py) whether samples are missing, and hands the blocks out.

Knows: when the reader is woken, what ends a capture. Does not know: PortAudio (portaudio.py), codecs, queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from ...audio.pcm import Pcm
from ...audio.rates import check_rate
from ...errors import DeviceError, InputError, StreamClosedError
from ...system.copying import NeverCopied
from ...system.foreign_data import is_whole, shown
from ..items import Gap, OnePass
from ..stats import WINDOW, MicrophoneStats, percentiles
from . import portaudio
from .callback import DeviceCallback
from .clock import DeviceClock
from .input_stream import open_input
from .ring import Ring

# The device counts as silent after this many polls without samples. Polls are counted, not seconds: after the whole
# process was asleep, the device's thread gets a chance to run first.
_POLL_SECONDS, _SILENT_POLLS = 0.25, 4
# The first samples may take longer, because a sound server has to wake its device.
_SILENT_POLLS_AT_START = 20

# Seconds of the longest block, as the device must not count as silent between two; samples of the shortest one that a
# device is expected to choose by itself.
_LONGEST_BLOCK, _SHORTEST_BLOCK = 0.5, 16

_OVERRUN = "overrun: the blocks before were not taken in time, and no room was left"
_JUMP = "lost on the way: the device reported an overflow, or its samples fell behind the clock at once"


class Microphone(NeverCopied, error=DeviceError, holds="a sound device", instead="make another one"):
    """A sound device as an async iterable of float32 mono blocks ``[n]`` and `Gap` marks.

    It is captured once, from the first ``async for`` on. No sample is lost silently. While the reader is slow or the
    event loop is blocked, up to ``buffer`` seconds are kept. Anything beyond that is dropped, and a `Gap` marks the
    place.

    A `Gap` also marks samples that the device lost. It may report that itself. Or the received samples fall behind the
    monotonic clock by more than 50 ms and do not catch up. Before a gap is reported, blocks are held back for a quarter
    of a second (at most 2 s, while a backlog comes in), so that the `Gap` comes at the right place. A slow drift of the
    device's clock is not a gap; `stats`\\ ``().drift_ppm`` reports it.

    If the device vanishes, or delivers nothing for a second, the iteration raises a `DeviceError` that names the last
    sample, after everything that was captured. Its first samples may take five seconds. Open another Microphone when
    the device is back.

    Leaving ``async with`` closes the device. If the sound server hangs, closing gives up after 2 s.

    Args:
        rate: samples a second to capture at; None: the device's default. ``tokenize`` converts the rate.
        device: an index, a name or part of a name from ``streamrvq devices``; None: the default device.
        block: samples a block from the device, for half a second and half of ``buffer`` at most; None: what suits it.
            It affects the latency, not the codes.
        channel: the channel to take, counted from 0, if the device has several.
        downmix: take the mean of the first two channels.
        buffer: seconds of samples that may wait for the reader, 0.2 to 600.

    Attributes:
        sample_rate: Hz; None before entering if ``rate`` is None.
        name: of the device; empty before entering.
        start_time: `time.monotonic` when sample 0 was captured, estimated from the last 2 s, so it slowly moves if the
            device drifts; None before the first sample.

    Raises:
        InputError: a setting that makes no sense.
        DeviceError: on entering: PortAudio is missing or does not answer, there is no such device, or it refuses the
            rate or the channels.
    """

    def __init__(
        self, rate: int | None = None, device: int | str | None = None, *, block: int | None = None,
        channel: int | None = None, downmix: bool = False, buffer: float = 2.0,
    ) -> None:  # fmt: skip
        self.sample_rate = None if rate is None else check_rate(rate, "rate")
        if block is not None and not is_whole(block, 1):
            raise InputError(f"block is {shown(block)}; wanted a whole number of samples, at least 1")
        if channel is not None and (downmix or not is_whole(channel, 0)):
            beside = " with downmix" if downmix else ""
            raise InputError(f"channel is {shown(channel)}{beside}; wanted one from 0 on, or downmix alone")
        if not (isinstance(buffer, (int, float, np.integer, np.floating)) and 0.2 <= buffer <= 600):
            raise InputError(f"buffer is {shown(buffer)} s; wanted 0.2 to 600")
        self.device, self.downmix, self.buffer = device, downmix, buffer
        self.block = None if block is None else int(block)
        self.channel = None if channel is None else int(channel)
        self.name = ""
        self._channels = 2 if downmix else (self.channel or 0) + 1
        self._stream: portaudio.OpenStream | None = None
        self._state = "new"  # → open → capturing → ended; or closed from any
        self._entered = self._stopping = self._vanished = False
        self._closing = asyncio.Lock()
        self._handover: deque[float] = deque(maxlen=WINDOW)
        self._held: list[Pcm | tuple[int, str]] = []  # blocks that are held back, and gaps among them
        self._position = self._lost = self._gaps = self._overflows = self._blocks = self._longest = 0

    def __repr__(self) -> str:
        rate = "its own rate" if self.sample_rate is None else f"{self.sample_rate} Hz"
        return f"<Microphone {self.name or self.device or 'default'}, {self._state}: {rate}, {self._lost} samples lost>"

    async def __aenter__(self) -> Microphone:
        if self._entered:
            raise StreamClosedError("this microphone was entered before; make another one")
        self._woken, self._callback, self._entered = asyncio.Event(), DeviceCallback(self._to_mono()), True
        try:
            self._stream, self.sample_rate = await open_input(
                self.device, self.sample_rate, self._channels, self.block or 0, min(_LONGEST_BLOCK, self.buffer / 2),
                self._callback.on_block, self._callback.on_finished,
            )  # fmt: skip
        except BaseException:
            self._entered = False
            raise
        self.name, self._latency, self._state = self._stream.device.name, self._stream.latency, "open"
        self._clock = DeviceClock(self.sample_rate)
        samples = round(self.buffer * self.sample_rate)
        self._ring = Ring(samples, samples // (self.block or _SHORTEST_BLOCK))
        self._callback.attach(self._ring, asyncio.get_running_loop(), self._woken)
        return self

    def _to_mono(self) -> Callable[[Any], Any]:
        """The function from ``[n, channels]`` to ``[n]``."""
        if self.downmix:
            return lambda block: block.mean(axis=1, dtype=np.float64)
        last = self._channels - 1
        return lambda block: block[:, last]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the device at once. An ``async for`` that is still running raises `StreamClosedError`."""
        if self._state != "new":
            self._state = "closed"
            self._woken.set()
            await self._close()

    async def _close(self) -> None:
        """Close the device; a second caller waits for the first."""
        async with self._closing:
            if (stream := self._stream) is not None:
                self._stream = None
                try:
                    await stream.close()
                except DeviceError:  # it hangs; portaudio.py closes it once the call returns
                    portaudio.refresh_devices()

    def stop(self) -> None:
        """End the capture. The iteration ends after everything captured so far. Call it from the event loop only.

        Raises:
            StreamClosedError: before it was entered.
        """
        self._check_entered()
        self._stopping = True
        self._woken.set()

    def _check_entered(self) -> None:
        if self._state == "new":
            raise StreamClosedError(
                "this microphone was not entered; write `async with streamrvq.Microphone(…) as mic:`"
            )

    @property
    def start_time(self) -> float | None:
        if self._state == "new" or (origin := self._clock.origin) is None:
            return None
        # ``origin`` counts from the last sample of a block, which only the driver delays. The latency that PortAudio
        # states also includes the length of a block, so that is subtracted.
        return origin - max(0.0, self._latency - self._longest / self._clock.rate)

    def stats(self) -> MicrophoneStats:
        """The figures so far. Call it from the event loop only.

        Raises:
            StreamClosedError: before it was entered.
        """
        self._check_entered()
        p50, p99 = percentiles(self._handover)
        return MicrophoneStats(
            samples=self._position - self._lost, lost=self._lost, gaps=self._gaps, overruns=self._ring.overruns,
            overflows=self._overflows, waiting=self._ring.held, blocks=self._blocks, device_latency=self._latency,
            handover_p50=p50, handover_p99=p99, drift_ppm=self._clock.drift_ppm(),
        )  # fmt: skip

    def __aiter__(self) -> OnePass[Pcm | Gap]:
        return OnePass(self._items(), "the capture was cancelled while its next block was awaited; make another one")

    async def _items(self) -> AsyncGenerator[Pcm | Gap, None]:
        self._check_entered()
        if self._state != "open" or self._stream is None:
            raise StreamClosedError(f"a microphone is captured once; this one is {self._state}: make another one")
        self._state = "capturing"
        try:
            if not self._stopping:
                await self._stream.start()
            silent = False
            while not self._stopping and not silent:
                silent = await self._wait()
                for item in self._drain_ring():
                    yield item
                self._check_open()
            await self._close()
            for item in self._drain_ring(last=True):
                yield item
            if silent and not self._stopping:
                raise self._device_lost()
        finally:
            self._state = "closed" if self._state == "closed" else "ended"
            await self._close()

    async def _wait(self) -> bool:
        """Wait for blocks, `stop` or `aclose`. Returns True if the device delivers nothing any more."""
        for _ in range(_SILENT_POLLS if self._blocks else _SILENT_POLLS_AT_START):
            self._woken.clear()
            finished = self._callback.finished  # read first: then all that it captured is in the ring
            if self._ring.held or self._stopping or self._state == "closed":
                return False
            if finished:
                self._vanished = True
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()
        return not (self._ring.held or self._stopping or self._state == "closed")

    def _check_open(self) -> None:
        if self._state == "closed":
            raise StreamClosedError(
                f"the microphone was closed after {self._position} samples, while it was listened to"
            )

    def _drain_ring(self, last: bool = False) -> Iterator[Pcm | Gap]:
        """Read the whole ring and yield what may be handed out. Blocks with no gap between them are joined.

        The ring is empty before the first item is yielded, so a slow reader has its whole capacity again.
        """
        ready: list[Pcm | tuple[int, str]] = []
        while (block := self._ring.read()) is not None:
            self._blocks += 1
            self._handover.append(time.monotonic() - block.time)
            self._overflows += block.flagged
            self._longest = max(self._longest, len(block.pcm))
            if block.lost:
                self._held.append((block.lost, _OVERRUN))
            self._held.append(block.pcm)
            missing = self._clock.add_block(len(block.pcm), block.time, block.lost, block.flagged)
            if missing is not None:
                ready += self._release(missing)
        if last:
            ready += self._release(self._clock.finish())
            if self._ring.missing:
                ready.append((self._ring.missing, _OVERRUN))
        run: list[Pcm] = []
        for piece in [*ready, None]:
            if isinstance(piece, np.ndarray):
                run.append(piece)
                continue
            if run:
                pcm, run = np.concatenate(run), []
                self._position += len(pcm)
                yield pcm
            if piece is not None:
                samples, reason = piece
                gap = Gap(self._position, samples, reason)
                self._position, self._lost, self._gaps = self._position + samples, self._lost + samples, self._gaps + 1
                yield gap

    def _release(self, missing: int) -> list[Pcm | tuple[int, str]]:
        """The held blocks, after a gap of ``missing`` samples if there is one."""
        held, self._held = self._held, []
        return [(missing, _JUMP), *held] if missing else held

    def _device_lost(self) -> DeviceError:
        portaudio.refresh_devices()
        silent = _POLL_SECONDS * (_SILENT_POLLS if self._blocks else _SILENT_POLLS_AT_START)
        return DeviceError(
            f"{self.name} {'vanished' if self._vanished else f'gave nothing for {silent:g} s'} after sample "
            f"{self._position} ({self._position / self._clock.rate:.2f} s); plug it in or restart the sound server, "
            "then open it again"
        )
