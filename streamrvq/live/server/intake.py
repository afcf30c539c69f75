"""How much of what clients send is parsed at a time, so that no client takes the event loop's time from the others.

A read may hold a thousand frames, and each costs as much to parse as a live stream's hop. So bytes are parsed in small
slices, and each connection has an allowance that live streams never use up. Whoever sends more waits: the connection
is not read any further, and its bytes are parsed in turn with those of other such connections. Together these get a
fifth of the loop's time, or less beside live streams (live_load.py). In it their messages are parsed, handled and
answered.
Even what is within the allowances takes only so much of one round of the loop; the rest comes in the next.

Knows: bytes, units of work, turns. Does not know: websockets (transport.py), what the bytes mean.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from time import thread_time

from .access import Allowance
from .scheduling.live_load import LiveLoad

#: Bytes parsed at once. They may hold 85 empty frames, which take less than a millisecond.
SLICE_BYTES = 512
#: A frame is one unit of work, and so are so many bytes.
UNIT_BYTES = 2048
#: The units of a connection at once, and at first; those added per second, and per second of audio that came. A live
#: stream with blocks of 5 ms uses 250 a second. Messages that bring no audio do not earn the next ones.
UNITS_AT_ONCE, UNITS_AT_FIRST, UNITS_PER_SECOND, UNITS_PER_AUDIO_SECOND = 32.0, 8.0, 50.0, 400.0
#: The seconds of one round of the loop for all connections that are within their allowance.
ROUND_SECONDS = 0.002
#: Beyond it: a connection's units in its turn; the seconds of all turns of a round; the share of the time that turns
#: have where there are no live streams. What the messages of these turns cost afterwards, in the connections' tasks, is
#: part of it: the next turns wait for that, too.
UNITS_OF_A_TURN, TURN_SECONDS, BEYOND_SHARE = 16.0, 0.0005, 0.2
#: The longest pause. A client whose first message is a large one has its turn before long, whatever floods cost.
LONGEST_PAUSE = 0.5
#: For so long a connection counts as having been beyond its allowance.
LATELY_SECONDS = 5.0


class Rounds:
    """Whose turn it is in each round of the loop: connections within their allowances, and beyond them.

    Args:
        clock: gives the time, in seconds. A loop's own may count whole milliseconds, longer than a turn: uvloop's does.
        load: told what those beyond their allowances take; says what live streams leave to them.
        cpu: gives the CPU time of the loop's thread, in seconds. What stopped the whole process costs nobody a pause.

    Attributes:
        now: the clock.
        load: as given.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, load: LiveLoad | None = None,
        cpu: Callable[[], float] = thread_time,
    ) -> None:  # fmt: skip
        self.now, self._cpu, self.load = clock, cpu, load or LiveLoad()
        self._within: deque[Intake] = deque()
        self._beyond: deque[Intake] = deque()
        self._used = 0.0  # seconds of this round of the loop
        self._share = Allowance(0.0, BEYOND_SHARE, clock(), longest=LONGEST_PAUSE)  # of those beyond their allowances
        self._round_planned = self._beyond_planned = False

    @property
    def time_left(self) -> bool:
        """Whether a connection within its allowance may be parsed in this round, before `add` gives it a turn."""
        return self._used < ROUND_SECONDS and not self._within

    def use(self, seconds: float) -> None:
        """Count time of this round that went to a connection within its allowance."""
        self._used += seconds
        self._plan_round()

    def owe(self, seconds: float) -> None:
        """Count time that went to a connection beyond its allowance after its turn. The next turns wait for it."""
        self._share.use(seconds / self.load.left, self.now())

    def add(self, intake: Intake, within_allowance: bool) -> None:
        """Give a connection's bytes a turn in the next round, or after those of all others. It must not have one."""
        if within_allowance:
            self._within.append(intake)
            self._plan_round()
            return
        self._beyond.append(intake)
        if not self._beyond_planned:
            self._beyond_planned = True
            asyncio.get_running_loop().call_soon(self._serve_beyond)

    def _plan_round(self) -> None:
        if not self._round_planned:
            self._round_planned = True
            asyncio.get_running_loop().call_soon(self._begin_round)

    def _begin_round(self) -> None:
        self._round_planned, self._used = False, 0.0
        for _ in range(len(self._within)):
            if self._used >= ROUND_SECONDS:
                self._plan_round()
                return
            began = self.now()
            self.use(self._within.popleft().take_turn(began) - began)

    def _serve_beyond(self) -> None:
        if (pause := self._share.pause(self.now())) > 0:
            asyncio.get_running_loop().call_later(pause, self._serve_beyond)
            return
        began_cpu = self._cpu()
        began = now = self.now()
        try:
            while self._beyond and now - began < TURN_SECONDS:
                now = self._beyond.popleft().take_turn(now)
        finally:
            spent = self._cpu() - began_cpu
            self.load.others(spent)
            self.owe(spent)
            self._beyond_planned = bool(self._beyond)
            if self._beyond:
                asyncio.get_running_loop().call_soon(self._serve_beyond)


class Intake:
    """The bytes of one connection that were read and not yet parsed.

    Reading is paused while any are left, and while `hold` says so. So they are at most what one read gives.

    Args:
        rounds: those of all connections.
        parse: takes bytes. It may call `count`, `hold`, `release` and `discard`.
        pause, resume: stop reading from the socket, and go on.
    """

    def __init__(
        self, rounds: Rounds, parse: Callable[[bytes], None], pause: Callable[[], None], resume: Callable[[], None]
    ) -> None:
        self._rounds, self._parse, self._pause, self._resume = rounds, parse, pause, resume
        self._allowance = Allowance(UNITS_AT_ONCE, UNITS_PER_SECOND, rounds.now(), UNITS_AT_FIRST)
        self._bytes = bytearray()
        self._frames, self._beyond_at = 0, -math.inf
        self._held = self._paused = self._waits_for_turn = self._parsing = self._closed = False

    @property
    def waiting(self) -> int:
        """Bytes that are not parsed yet."""
        return len(self._bytes)

    @property
    def paused(self) -> bool:
        """Whether nothing is to be read from the socket."""
        return self._held or bool(self._bytes)

    @property
    def was_beyond(self) -> bool:
        """Whether the connection sent more than its allowance lately."""
        return self._rounds.now() - self._beyond_at < LATELY_SECONDS

    def receive(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self._bytes += data
        self._go_on()

    def count(self) -> None:
        """Count a frame that was parsed."""
        self._frames += 1

    def earn(self, audio_seconds: float) -> None:
        """Add to the allowance: so many seconds of audio came."""
        self._allowance.add(audio_seconds * UNITS_PER_AUDIO_SECOND, self._rounds.now())

    def spend(self, seconds: float) -> None:
        """Count the loop's time that the connection's tasks took. After turns beyond the allowance it is theirs."""
        if self._allowance.left(self._rounds.now()) <= 0 and self.was_beyond:
            self._rounds.owe(seconds)

    def hold(self) -> None:
        """Parse and read nothing more, until `release`."""
        self._held = True
        self._update()

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        if self._bytes and not self._waits_for_turn:
            self._wait_for_turn(self._rounds.now())  # not at once: whoever takes messages calls this
        self._update()

    @property
    def used_up(self) -> bool:
        """Whether `spend` may count: the allowance was used up the last time."""
        return self._allowance.used_up

    def take_turn(self, now: float) -> float:
        """Parse a little, even beyond the allowance; `Rounds` calls this. Returns the time after it."""
        self._waits_for_turn = False
        return self._parse_some(max(UNITS_OF_A_TURN, self._allowance.left(now)))

    def parse_rest(self, most: int) -> None:
        """Parse what is left, after the last bytes came. It is discarded if it is more than ``most`` bytes."""
        rest = bytes(self._bytes) if len(self._bytes) <= most else b""
        self._bytes.clear()
        if rest:
            self._parse(rest)

    def discard(self) -> None:
        """Forget what is left."""
        self._bytes.clear()

    def close(self) -> None:
        """Forget what is left, and the socket: the connection is lost."""
        self._closed = True
        self._bytes.clear()
        self._parse, self._pause, self._resume = _ignore, _ignore, _ignore

    def _go_on(self) -> None:
        if not (self._held or self._waits_for_turn or self._parsing):
            began = self._rounds.now()
            self._rounds.use(self._parse_some(self._allowance.left(began) if self._rounds.time_left else 0.0) - began)
        else:
            self._update()

    def _parse_some(self, most: float) -> float:
        """Parse ``most`` units, and the rest of the slice. Returns the time after it."""
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
        now = self._rounds.now()
        self._allowance.use(used, now)
        if self._bytes and not self._held:
            self._wait_for_turn(now)
        self._update()
        return now

    def _wait_for_turn(self, now: float) -> None:
        self._waits_for_turn = True
        within = self._allowance.left(now) > 0
        if not within:
            self._beyond_at = now
        self._rounds.add(self, within)

    def _update(self) -> None:
        """Pause or resume reading. Within `_parse_some` that waits for its end."""
        if self._parsing or self._closed:
            return
        paused = self.paused
        if paused != self._paused:
            self._paused = paused
            (self._pause if paused else self._resume)()


def _ignore(data: bytes = b"") -> None:
    """In place of the functions of a connection that is lost: they would keep it in memory."""
