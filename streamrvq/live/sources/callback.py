"""The side of a microphone that PortAudio's thread sees: it copies a block into the ring, and leaves.

Knows: the ring, whom to wake. Does not know: what becomes of the samples.
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
    """What PortAudio's thread holds of all this: a forgotten Microphone is not kept alive by its device."""

    def __init__(self, pick: Callable[[Any], Any]) -> None:
        self._pick, self.over = pick, False
        self._to: tuple[Ring, asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def join(self, ring: Ring, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
        """Where to write and whom to wake; before the stream is started."""
        self._to = ring, loop, woken

    def heard(self, block: Any, count: int, times: Any, flags: Any) -> None:
        """PortAudio's callback: copy and leave."""
        now = time.monotonic()
        assert self._to is not None
        ring, loop, woken = self._to
        if count and ring.write(self._pick(block), now, bool(flags.input_overflow)):
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:  # the loop was closed over our head: nobody will ever listen
                raise portaudio.end_of_stream() from None

    def ended(self) -> None:
        """PortAudio's other callback."""
        self.over = True
        if self._to is not None:
            with contextlib.suppress(RuntimeError):
                self._to[1].call_soon_threadsafe(self._to[2].set)
