"""How much of what clients send is parsed at a time, so that no client takes the event loop's time from the others.

A read may hold a thousand frames, and each costs as much to parse as a live stream's hop. So bytes are parsed in small
slices, and each connection has an allowance that live streams never use up. Who sends more waits: the connection is not
read any further, and its bytes are parsed in turn with those of other such connections, in a fifth of the loop's time.

Knows: bytes, units of work, turns. Does not know: websockets (transport.py), what the bytes mean.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: Bytes parsed at once. It may hold 42 empty frames, which take less than half a millisecond.
SLICE_BYTES = 256
#: A frame is one unit of work, and so are so many bytes.
UNIT_BYTES = 2048
#: The units of a connection at once, and those added per second. A live stream with blocks of 5 ms uses 250 a second.
UNITS_AT_ONCE, UNITS_PER_SECOND = 64.0, 400.0
#: The units of a connection in its turn; the seconds of all turns together; how much longer the pause after them is.
UNITS_OF_A_TURN, TURN_SECONDS, PAUSE_RATIO = 16.0, 0.0005, 4.0


class Allowance:
    """A token bucket.

    Args:
        most: units that may be used at once.
        per_second: units that time adds.
        now: the time, in seconds.
    """

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most, self._per_second = most, per_second
        self._left, self._time = most, now

    def left(self, now: float) -> float:
        """Units that may be used now; negative where more were used."""
        self._left, self._time = min(self._most, self._left + (now - self._time) * self._per_second), now
        return self._left

    def use(self, units: float, now: float) -> float:
        """Count units. Returns what is left."""
        self._left = self.left(now) - units
        return self._left


class Turns:
    """The connections that have used their allowance up, and whose turn it is.

    Args:
        clock: gives the time, in seconds. None: the running event loop's.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._queue: deque[Intake] = deque()
        self._planned = False

    def add(self, intake: Intake, within_allowance: bool) -> None:
        """Give a connection's bytes a turn: soon, or after those of all others. It must not be waiting for one."""
        loop = asyncio.get_running_loop()
        if within_allowance:
            loop.call_soon(intake.take_turn)
            return
        self._queue.append(intake)
        if not self._planned:
            self._planned = True
            loop.call_soon(self._serve)

    def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        clock = self._clock or loop.time
        began = now = clock()
        self._planned = False
        while self._queue and now - began < TURN_SECONDS:
            self._queue.popleft().take_turn()
            now = clock()
        if self._queue:
            self._planned = True
            loop.call_later((now - began) * PAUSE_RATIO, self._serve)


class Intake:
    """The bytes of one connection that were read and not yet parsed.

    Reading is paused while any are left, and while `hold` says so. So they are at most what one read gives.

    Args:
        turns: those of all connections.
        parse: takes bytes. It may call `count`, `hold`, `release` and `discard`.
        pause, resume: stop reading from the socket, and go on.
        clock: gives the time, in seconds.
    """

    def __init__(
        self, turns: Turns, parse: Callable[[bytes], None], pause: Callable[[], None], resume: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._turns, self._parse, self._pause, self._resume, self._clock = turns, parse, pause, resume, clock
        self._allowance = Allowance(UNITS_AT_ONCE, UNITS_PER_SECOND, clock())
        self._bytes = bytearray()
        self._frames = 0
        self._held = self._paused = self._waits_for_turn = self._parsing = self._closed = False

    @property
    def waiting(self) -> int:
        """Bytes that are not parsed yet."""
        return len(self._bytes)

    def receive(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self._bytes += data
        self._go_on()

    def count(self) -> None:
        """Count a frame that was parsed."""
        self._frames += 1

    def hold(self) -> None:
        """Parse and read nothing more, until `release`."""
        self._held = True
        self._update()

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        if self._bytes and not self._waits_for_turn:
            self._wait_for_turn()  # not at once: whoever takes messages calls this
        self._update()

    def take_turn(self) -> None:
        """Parse a little, be it beyond the allowance; `Turns` calls this."""
        self._waits_for_turn = False
        self._parse_some(max(UNITS_OF_A_TURN, self._allowance.left(self._clock())))

    def parse_rest(self, most: int) -> None:
        """Parse what is left, after the last bytes came. It is discarded if it is more than ``most`` bytes."""
        rest = bytes(self._bytes[:most]) if len(self._bytes) <= most else b""
        self._bytes.clear()
        if rest:
            self._parse(rest)

    def discard(self) -> None:
        """Forget what is left."""
        self._bytes.clear()

    def close(self) -> None:
        """Forget what is left, and touch the socket no more: the connection is lost."""
        self._closed = True
        self._bytes.clear()

    def _go_on(self) -> None:
        if not (self._held or self._waits_for_turn or self._parsing):
            self._parse_some(self._allowance.left(self._clock()))
        self._update()

    def _parse_some(self, most: float) -> None:
        used, self._parsing = 0.0, True
        try:
            while self._bytes and not self._held and used < most:
                part = bytes(self._bytes[:SLICE_BYTES])
                del self._bytes[:SLICE_BYTES]
                before = self._frames
                self._parse(part)
                used += self._frames - before + len(part) / UNIT_BYTES
        finally:
            self._parsing = False
        self._allowance.use(used, self._clock())
        if self._bytes and not self._held:
            self._wait_for_turn()
        self._update()

    def _wait_for_turn(self) -> None:
        self._waits_for_turn = True
        self._turns.add(self, within_allowance=self._allowance.left(self._clock()) > 0)

    def _update(self) -> None:
        """Pause or resume reading. Within `_parse_some` that waits for its end."""
        if self._parsing or self._closed:
            return
        paused = self._held or bool(self._bytes)
        if paused != self._paused:
            self._paused = paused
            (self._pause if paused else self._resume)()
