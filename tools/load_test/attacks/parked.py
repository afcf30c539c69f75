"""Streams that are opened and aborted without a sample, so that the server parks them.

Knows: opening and breaking. Does not know: whose streams are parked there.
"""

from __future__ import annotations

from streamrvq.live.protocol.text import Start

from .attack import Attack
from .target import Target

_CONNECTIONS = 8


async def _open_abort(target: Target) -> None:
    async with target.connection() as connection:
        await connection.open(Start(mode="encode"))
        target.tally.attempts += 1


ATTACKS = (
    Attack("parked", "streams opened and aborted, while others wait to be resumed", _open_abort, _CONNECTIONS,
           authenticated=True, streams=_CONNECTIONS, resuming=True),
)  # fmt: skip
