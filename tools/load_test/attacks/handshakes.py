"""Websockets that lead to no stream: handshakes without a start, and handshakes with a wrong token.

Knows: handshakes. Does not know: streams.
"""

from __future__ import annotations

from streamrvq.live.protocol.text import Start

from ..clients.raw import text_frame
from .attack import Attack
from .target import Target

_START = Start(mode="encode").to_json()


async def _never_started(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(target.handshake(""))
        target.tally.attempts += 1
        await connection.to_end()


async def _wrong_token(target: Target) -> None:
    async with target.connection() as connection:
        target.tally.attempts += 1
        await connection.send(target.handshake("not a token") + text_frame(_START))
        await connection.discard()


ATTACKS = (
    Attack("handshakes", "256 handshakes that never start a stream, kept up", _never_started, connections=256,
           phase=6.0),
    Attack("wrong-token", "handshakes with a wrong token, in a loop", _wrong_token, connections=32),
)  # fmt: skip
