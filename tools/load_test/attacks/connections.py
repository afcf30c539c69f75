"""TCP connections that say nothing: held open up to the limit of file descriptors, or closed at once.

Knows: connecting. Does not know: HTTP.
"""

from __future__ import annotations

from .attack import Attack
from .target import Target

#: A usual limit of a process.
_DESCRIPTORS = 1024


async def _idle(target: Target) -> None:
    async with target.connection() as connection:
        target.tally.attempts += 1
        await connection.to_end()


async def _connect_close(target: Target) -> None:
    async with target.connection() as connection:
        target.tally.attempts += 1
        connection.close()


ATTACKS = (
    Attack("connections", "1100 idle TCP connections, to a server that may open 1024 files", _idle, connections=1100,
           phase=6.0, descriptors=_DESCRIPTORS),
    Attack("connect-close", "TCP connections closed at once, in a loop", _connect_close),
)  # fmt: skip
