"""Requests with a megabyte of headers, which nobody has authenticated.

Knows: how much the server's HTTP parser takes before it refuses. Does not know: websockets.
"""

from __future__ import annotations

from .attack import Attack
from .target import Target

#: 120 lines of almost 8 KiB: the websockets library refuses more lines, and longer ones. The end is missing.
_HEADERS = ("GET / HTTP/1.1\r\n" + "".join(f"A{number}: {'x' * 8000}\r\n" for number in range(120))).encode()


async def _sent_and_closed(target: Target) -> None:
    async with target.connection() as connection:
        target.tally.attempts += 1
        await connection.send(_HEADERS)
        connection.close()


async def _sent_and_held(target: Target) -> None:
    async with target.connection() as connection:
        target.tally.attempts += 1
        await connection.send(_HEADERS)
        await connection.to_end()


ATTACKS = (
    Attack("headers", "1 MB of headers, then the next connection", _sent_and_closed, connections=32),
    Attack("held-headers", "300 connections with 1 MB of headers each, held open", _sent_and_held, connections=300,
           phase=6.0),
)  # fmt: skip
