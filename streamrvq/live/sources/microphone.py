"""A microphone as a live source: blocks of samples as they are captured, and a mark wherever some are missing.

    async with streamrvq.Microphone(rate=48_000) as mic:
        async with streamrvq.tokenize(mic, codec) as tokens: ...

PortAudio's thread copies each block into a ring (ring.py) and leaves; the event loop takes what is there, asks the
clock (clock.py) whether anything is missing, and hands it out.

Knows: who is woken when, what ends a capture. Does not know: PortAudio's ways (portaudio.py), codecs, queues.
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
from ..items import Gap
from ..stats import WINDOW, MicrophoneStats, percentiles
from . import portaudio
from .callback import DeviceCallback
from .clock import CaptureClock
from .ring import Ring

# The watchdog looks so often, and gives up after so many looks at nothing new. Looks, not seconds: when the whole
# process was asleep, the device's thread gets a chance to run before it is judged.
_LOOK, _LOOKS = 0.25, 4
# The first samples may take longer: a sound server wakes its device.
_FIRST_LOOKS = 20

_OVERRUN = "overrun: the blocks before were not taken in time, and no room was left"
_JUMP = "lost on the way: the device reported an overflow, or its samples fell behind the clock at once"


class Microphone:
    """A sound device as an async iterable of float32 mono blocks ``[n]`` and `Gap` marks, captured once, from the first
    ``async for`` on.

    Nothing is lost silently. Who takes the blocks too slowly, or blocks the event loop, finds up to ``buffer`` seconds
    kept; what comes beyond that is dropped, and a `Gap` stands where it was. So it does where the device loses samples:
    where it says so, and where the samples received fall more than 50 ms behind the monotonic clock for good. A
    suspicion is made certain first, for a quarter of a second (2 s at the most, while a backlog comes in), in which
    blocks are held back, so that the `Gap` stands where the jump was. A slow drift of the device's clock is no gap
    but a figure, `stats`\\ ``().drift_ppm``.

    A device that vanishes, or gives nothing for a second, ends the blocks with a `DeviceError` that says after which
    sample; what was captured comes first. Open another Microphone when the device is back.

    Leaving ``async with`` closes the device; a sound server that hangs is waited for 2 s, then left to itself.

    Args:
        rate: samples a second, as the device is to give them; None: the device's default. ``tokenize`` converts.
        device: an index or (part of) a name from ``streamrvq devices``; None: the default.
        block: samples a block from the device; None: what suits it. It decides about latency, not about codes.
        channel: take this one, counted from 0, of a device with several.
        downmix: take the mean of the first two channels.
        buffer: seconds that may wait to be taken, 0.2 to 600.

    Attributes:
        sample_rate: Hz; None before entering if ``rate`` is None.
        name: of the device; empty before entering.
        start_time: `time.monotonic` when sample 0 was captured, as the latest 2 s tell (so a drifting device's
            slowly moves); None before any sample.

    Raises:
        InputError: a setting that makes no sense.
        DeviceError: on entering: no PortAudio, no such device, one that refuses the rate or the channels, no answer.
    """

    def __init__(
        self, rate: int | None = None, device: int | str | None = None, *, block: int | None = None,
        channel: int | None = None, downmix: bool = False, buffer: float = 2.0,
    ) -> None:  # fmt: skip
        self.sample_rate = None if rate is None else check_rate(rate, "rate")
        if block is not None and block < 1:
            raise InputError(f"block is {block}; wanted a whole number of samples, at least 1")
        if channel is not None and (channel < 0 or downmix):
            raise InputError(
                f"channel is {channel}{' with downmix' if downmix else ''}; wanted one from 0 on, or downmix alone"
            )
        if not 0.2 <= buffer <= 600:
            raise InputError(f"buffer is {buffer} s; wanted 0.2 to 600")
        self.device, self.block, self.channel, self.downmix, self.buffer = device, block, channel, downmix, buffer
        self.name = ""
        self._channels = 2 if downmix else (channel or 0) + 1
        self._stream: portaudio.Stream | None = None
        self._state = "new"  # → open → capturing → ended; or closed from any
        self._stopping = self._vanished = False
        self._closing = asyncio.Lock()
        self._handover: deque[float] = deque(maxlen=WINDOW)
        self._held: list[Pcm | tuple[int, str]] = []  # blocks under suspicion, and gaps among them
        self._position = self._lost = self._gaps = self._overflows = self._blocks = self._longest = 0

    async def __aenter__(self) -> Microphone:
        if self._state != "new":
            raise StreamClosedError("this microphone was entered before; make another one")
        self._woken, self._link = asyncio.Event(), DeviceCallback(self._pick())
        self._stream, self.sample_rate = await portaudio.open_input(
            self.device, self.sample_rate, self._channels, self.block or 0, self._link.heard, self._link.ended
        )
        self.name, self._latency, self._state = self._stream.device.name, self._stream.latency, "open"
        self._clock = CaptureClock(self.sample_rate)
        self._ring = Ring(max(1, round(self.buffer * self.sample_rate)))
        self._link.join(self._ring, asyncio.get_running_loop(), self._woken)
        return self

    def _pick(self) -> Callable[[Any], Any]:
        """From ``[n, channels]`` to ``[n]``."""
        if self.downmix:
            return lambda block: block.mean(axis=1, dtype=np.float64)
        last = self._channels - 1
        return lambda block: block[:, last]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the device at once. An ``async for`` that is still going on raises `StreamClosedError`."""
        if self._state != "new":
            self._state = "closed"
            self._woken.set()
            await self._close()

    async def _close(self) -> None:
        """Let the device go; who comes second waits for the first."""
        async with self._closing:
            if (stream := self._stream) is not None:
                self._stream = None
                try:
                    await stream.close()
                except DeviceError:  # it hangs; portaudio.py sees to the rest
                    portaudio.lost()

    def stop(self) -> None:
        """End the capture: the blocks end after what was captured until now. From the event loop only.

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
        # What arrives was captured earlier by the driver's part of the latency; the block's own length is counted.
        return origin - max(0.0, self._latency - self._longest / self._clock.rate)

    def stats(self) -> MicrophoneStats:
        """The figures so far. From the event loop only.

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

    async def __aiter__(self) -> AsyncGenerator[Pcm | Gap, None]:
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
                for item in self._take():
                    yield item
                self._check_open()
            await self._close()
            for item in self._take(last=True):
                yield item
            if silent and not self._stopping:
                raise self._gone()
        finally:
            self._state = "closed" if self._state == "closed" else "ended"
            await self._close()

    async def _wait(self) -> bool:
        """Until there are blocks, or someone has something else to say; True when the device says nothing any more."""
        for _ in range(_LOOKS if self._blocks else _FIRST_LOOKS):
            self._woken.clear()
            over = self._link.over  # asked first: what it captured before it ended is there by now
            if self._ring.held or self._stopping or self._state == "closed":
                return False
            if over:
                self._vanished = True
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await self._woken.wait()
        return not (self._ring.held or self._stopping or self._state == "closed")

    def _check_open(self) -> None:
        if self._state == "closed":
            raise StreamClosedError(
                f"the microphone was closed after {self._position} samples, while it was listened to"
            )

    def _take(self, last: bool = False) -> Iterator[Pcm | Gap]:
        """What can be handed out of all that is in the ring now, long blocks where nothing is missing between.

        The ring is emptied before the first item is given, so that a slow taker finds all of its room again.
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
            missing = self._clock.take(len(block.pcm), block.time, block.lost, block.flagged)
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
        held, self._held = self._held, []
        return [(missing, _JUMP), *held] if missing else held

    def _gone(self) -> DeviceError:
        portaudio.lost()
        quiet = _LOOK * (_LOOKS if self._blocks else _FIRST_LOOKS)
        return DeviceError(
            f"{self.name} {'vanished' if self._vanished else f'gave nothing for {quiet:g} s'} after sample "
            f"{self._position} ({self._position / self._clock.rate:.2f} s); plug it in or restart the sound server, "
            "then open it again"
        )
