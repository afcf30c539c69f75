"""Floods by a client with a token: messages that cost the server more than the sender. All answers are read.

When the server refuses such a client, it comes back at once.

Knows: messages, made before the attack. Does not know: which of them the server refuses.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

from streamrvq.live.protocol.binary import HEADER, PayloadKind
from streamrvq.live.protocol.constants import MAX_TEXT
from streamrvq.live.protocol.text import GapMark, SetLevels, Start

from ..clients.raw import BINARY, PING, frame, text_frame
from .attack import Attack
from .target import AttackConnection, Target

_MORE, _LAST = 0x00, 0x80  # further fragments of a message: one of several, and the last
_BINARY_BEGINS = BINARY & 0x7F
_GAP = 44_100  # samples
_CONNECTIONS = 8
#: Batches after which a client that the server still takes begins anew.
_BATCHES = 200

Batches = Callable[[], Iterator[bytes]]


def _flood(batches: Batches, each: int) -> Callable[[Target], Awaitable[None]]:
    """A connection that sends batches of ``each`` messages while it reads."""

    async def connect(target: Target) -> None:
        async with target.connection() as connection:
            await connection.open(Start(mode="encode"))
            reading = asyncio.create_task(connection.discard())
            sending = asyncio.create_task(_send(target, connection, batches(), each))
            try:
                await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, sending):
                    task.cancel()
                await asyncio.wait((reading, sending))
                for task in (reading, sending):
                    if not task.cancelled() and not isinstance(task.exception(), OSError):
                        task.result()

    return connect


async def _send(target: Target, connection: AttackConnection, batches: Iterator[bytes], each: int) -> None:
    for batch in batches:
        await connection.send(batch)
        target.tally.attempts += each


def _binary(number: int, position: int, samples: int) -> bytes:
    header = HEADER.pack(PayloadKind.PCM, 0, 0, number, position)
    return frame(BINARY, HEADER.size + 2 * samples) + header + bytes(2 * samples)


def _fragmented(number: int) -> bytes:
    """A message without samples."""
    return _EMPTY + HEADER.pack(PayloadKind.PCM, 0, 0, number, 0)


def _made_once(make: Callable[[int], bytes], each: int) -> Batches:
    """Batches of messages that depend on their number, the same in every connection."""
    made: list[bytes] = []

    def batches() -> Iterator[bytes]:
        for number in range(_BATCHES):
            if number == len(made):
                made.append(b"".join(make(number * each + message) for message in range(each)))
            yield made[number]

    return batches


def _repeated(batch: bytes) -> Batches:
    return lambda: itertools.repeat(batch)


#: Empty fragments before the only one with content. websockets takes 4096 in a message.
_FRAGMENTS = 4000
_EMPTY = frame(_BINARY_BEGINS, 0) + (_FRAGMENTS - 1) * frame(_MORE, 0) + frame(_LAST, HEADER.size)
_LEVELS = [text_frame(SetLevels(n_quantizers=levels).to_json().ljust(MAX_TEXT - 1)) for levels in (1, 2)]
_PINGS = 400 * (frame(PING, 125) + bytes(125))


def _messages(name: str, words: str, batches: Batches, each: int) -> Attack:
    return Attack(name, words, _flood(batches, each), _CONNECTIONS, authenticated=True, streams=_CONNECTIONS)


ATTACKS = (
    _messages("fragments", "messages of 4000 empty fragments", _made_once(_fragmented, 1), _FRAGMENTS),
    _messages("gaps", "gap messages of one second each",
              _made_once(lambda n: text_frame(GapMark(pos=n * _GAP, samples=_GAP).to_json()), 50), 50),
    _messages("pings", "pings of 125 bytes", _repeated(_PINGS), 400),
    _messages("tiny-messages", "messages of one sample", _made_once(lambda n: _binary(n, n, 1), 400), 400),
    _messages("texts", "text messages of 4 KB that change the number of levels",
              _repeated(10 * b"".join(_LEVELS)), 20),
)  # fmt: skip
