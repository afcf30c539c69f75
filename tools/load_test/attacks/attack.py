"""One kind of attack, and how it is kept up: a number of connections, each replaced as soon as it ends.

Knows: tasks, time. Does not know: what a connection does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable

from .target import Tally, Target

#: More seconds at most until the first attempt, on a machine that is slow or busy; and between two looks for it.
_FIRST, _LOOK = 30.0, 0.02


@dataclasses.dataclass(frozen=True)
class Attack:
    """A kind of attack.

    Attributes:
        name: on the command line.
        words: what it does, in a line.
        connect: one connection, from its opening to its end. It counts its own attempts.
        connections: how many it keeps up at once.
        authenticated: whether it needs a token.
        streams: how many streams it has open at once, at most.
        phase: seconds that it needs at least, to have its effect.
        descriptors: how many file descriptors the server may open; None: as many as usual.
        resuming: whether honest clients must be able to resume beside it.
    """

    name: str
    words: str
    connect: Callable[[Target], Awaitable[None]]
    connections: int = 16
    authenticated: bool = False
    streams: int = 0
    phase: float = 4.0
    descriptors: int | None = None
    resuming: bool = False


async def keep_up(attack: Attack, target: Target, seconds: float) -> Tally:
    """Attack for so long, and until the first attempt. Afterwards all connections of the attack are closed.

    Returns:
        What was done in that time.
    """
    before, cpu = dataclasses.replace(target.tally), time.process_time()
    tasks = [asyncio.create_task(_again(attack, target)) for _ in range(attack.connections)]
    try:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        until = time.perf_counter() + _FIRST
        while not ended and target.tally.attempts == before.attempts and time.perf_counter() < until:
            ended, _ = await asyncio.wait(tasks, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in ended:
        task.result()  # raises: an attack ends by itself only if it is written wrongly
    now = target.tally
    return Tally(
        now.attempts - before.attempts, now.bytes - before.bytes, now.broken - before.broken, time.process_time() - cpu
    )


async def _again(attack: Attack, target: Target) -> None:
    while True:
        try:
            await attack.connect(target)
        except OSError:
            target.tally.broken += 1
        await asyncio.sleep(0)  # where nothing had to wait, the other connections have their turn
