"""PortAudio's callbacks: they copy a block into the ring and return.

Knows: the ring, which event to set. Does not know: what becomes of the samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from . import portaudio
from .ring import Ring


class DeviceCallback:
    """The only object of a capture that PortAudio's thread refers to, so the device does not keep a Microphone alive.

    Args:
        to_mono: from a block ``[n, channels]`` to samples ``[n]``.

    Attributes:
        finished: the stream has ended, for whatever reason.
    """

    def __init__(self, to_mono: Callable[[Any], Any]) -> None:
        self._to_mono, self.finished = to_mono, False
        self._target: tuple[Ring, asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def attach(self, ring: Ring, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
        """Set the ring to write to and the event to set. Call it before the stream is started."""
        self._target = ring, loop, woken

    def on_block(self, block: Any, count: int, times: Any, flags: Any) -> None:
        """PortAudio's stream callback: copy and return."""
        now = time.monotonic()
        assert self._target is not None
        ring, loop, woken = self._target
        if count and ring.write(self._to_mono(block), now, bool(flags.input_overflow)):
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:  # the loop was closed: the ring will not be read any more
                raise portaudio.callback_abort() from None

    def on_finished(self) -> None:
        """PortAudio's finished callback."""
        self.finished = True
        if self._target is not None:
            with contextlib.suppress(RuntimeError):
                self._target[1].call_soon_threadsafe(self._target[2].set)
