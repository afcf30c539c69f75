"""Plain HTTP requests in a loop, each over a connection of its own.

Knows: paths. Does not know: websockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .attack import Attack
from .target import Target


def _looped(path: str) -> Callable[[Target], Awaitable[None]]:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    async def connect(target: Target) -> None:
        async with target.connection() as connection:
            target.tally.attempts += 1
            await connection.send(request)
            await connection.to_end()

    return connect


ATTACKS = (
    Attack("metrics", "GET /metrics in a loop", _looped("/metrics")),
    Attack("not-found", "GET of a path that there is not, in a loop", _looped("/no-such-path")),
    Attack("page", "GET / in a loop", _looped("/")),
)
