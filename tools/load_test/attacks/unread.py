"""Clients with a token that ask for much and read none of it.

Knows: what is cheap to send and large to answer. Does not know: what the server keeps of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from streamrvq.live.protocol.binary import HEADER, PayloadKind
from streamrvq.live.protocol.constants import MAX_MESSAGE
from streamrvq.live.protocol.text import Start

from ..clients.raw import BINARY, frame
from .attack import Attack
from .target import Target

_CONNECTIONS = 16
_RECEIVE_BUFFER = 1 << 12
_PAYLOAD = bytes((MAX_MESSAGE - HEADER.size) // 2 * 2)
#: Audio at the lowest rate makes the most codes of a message, samples at the highest the most bytes of a code.
_LOW, _HIGH = 8_000, 192_000


def _messages(kind: PayloadKind, levels: int) -> Iterator[bytes]:
    count, number = len(_PAYLOAD) // 2, 0
    while True:
        header = HEADER.pack(kind, 0, levels, number, number * count)
        yield frame(BINARY, HEADER.size + len(_PAYLOAD)) + header + _PAYLOAD
        number += 1


def _unread(start: Start, kind: PayloadKind, levels: int) -> Callable[[Target], Awaitable[None]]:
    async def connect(target: Target) -> None:
        async with target.connection(_RECEIVE_BUFFER) as connection:
            await connection.open(start)
            for message in _messages(kind, levels):
                await connection.send(message)
                target.tally.attempts += 1

    return connect


#: Frames of one level: the most frames of a message.
_decode = _unread(Start(mode="decode", sample_rate=_HIGH, format="f32le"), PayloadKind.CODES, 1)
_encode = _unread(Start(mode="encode", sample_rate=_LOW), PayloadKind.PCM, 0)


ATTACKS = (
    Attack("decode-amplify", "codes to decode, and a reader that never reads", _decode, _CONNECTIONS,
           authenticated=True, streams=_CONNECTIONS, phase=8.0),
    Attack("slow-readers", "audio to encode, and a reader that stops", _encode, _CONNECTIONS, authenticated=True,
           streams=_CONNECTIONS, phase=8.0),
)  # fmt: skip
