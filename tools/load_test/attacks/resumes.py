"""Clients that break their connection, resume, and send a backlog each time.

Knows: sessions. Does not know: when honest clients resume.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamrvq.live.protocol.binary import HEADER, PayloadKind
from streamrvq.live.protocol.text import Resume, Start

from ..clients.raw import BINARY, frame, text_frame
from .attack import Attack
from .target import AttackConnection, Target

_CONNECTIONS = 8
#: Messages sent before the connection breaks, and samples of each: 2.9 s at 44.1 kHz.
_MESSAGES, _SAMPLES = 8, 16_000
_HEAD, _SILENCE = frame(BINARY, HEADER.size + 2 * _SAMPLES), bytes(2 * _SAMPLES)
#: How often a session is resumed before a new one begins.
_RESUMES = 50


def _backlog(position: int) -> Iterator[bytes]:
    for number in range(_MESSAGES):
        header = HEADER.pack(PayloadKind.PCM, 0, 0, number, position + number * _SAMPLES)
        yield _HEAD + header + _SILENCE


async def _send(target: Target, connection: AttackConnection, position: int) -> None:
    for message in _backlog(position):
        await connection.send(message)
    target.tally.attempts += 1


async def _connect(target: Target) -> None:
    async with target.connection() as connection:
        answer = await connection.open(Start(mode="encode"))
        session = _field(rb'"session":"([0-9a-f]+)"', answer)
        await _send(target, connection, 0)
    for _ in range(_RESUMES):
        async with target.connection() as connection:
            text = Resume(session=session.decode(), next_frame=0).to_json()
            await connection.send(target.handshake() + text_frame(text))
            answer = await connection.until(b'"next_frame"')
            await _send(target, connection, int(_field(rb'"pos":(\d+)', answer)))


def _field(pattern: bytes, answer: bytes) -> bytes:
    found = re.search(pattern, answer)
    if found is None:
        raise ConnectionError("the server did not answer with what was asked for")
    return found[1]


ATTACKS = (
    Attack("resumes", "clients that break, resume and send a backlog, in a loop", _connect, _CONNECTIONS,
           authenticated=True, streams=_CONNECTIONS),
)  # fmt: skip
