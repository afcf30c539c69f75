"""Clients without a token that take every place there is, again and again.

Knows: what may be sent before a token is. Does not know: the server's limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator

from streamrvq.live.server.logs import Repeats
from tests.support.service import packet, start

#: Seconds in which the server's log counts what repeats, before it says so.
LOG_PERIOD = Repeats()._period

_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: streamrvq.v1\r\n"
)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


#: What each kind sends as soon as it is connected.
KINDS = {
    "silent": b"",
    "half a head": _UPGRADE[:60],
    "headers without end": b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: %s\r\n" % (i, b"x" * 4000) for i in range(50)),
    "no start": _UPGRADE + b"\r\n",
    "wrong token": _UPGRADE + b"Authorization: Bearer wrong\r\n\r\n",
    "wrong token in start": _UPGRADE + b"\r\n" + _frame(1, start(token="wrong").encode()),
    "half a start": _UPGRADE + b"\r\n" + _frame(1, start().encode())[:40],
    "fragments": _UPGRADE + b"\r\n" + b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 600,
    "pings": _UPGRADE + b"\r\n" + b"\x89\x80\0\0\0\0" * 600,
    "audio first": _UPGRADE + b"\r\n" + _frame(2, packet(payload=bytes(2000))),
    "plain": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing there": b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "another method": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    "rubbish": bytes(range(256)),
}


def periods(began: float) -> float:
    """How many periods of the log have begun since ``began``, of `time.monotonic`.

    In each of them, an event that repeats is a line for each kind and address.
    """
    return 1 + (time.monotonic() - began) // LOG_PERIOD


@contextlib.asynccontextmanager
async def hogging(port: int, kinds: list[str], count: int, again: bool = True) -> AsyncIterator[None]:
    """Keep ``count`` connections of these kinds, in turn.

    Args:
        again: whether those that the server ends are replaced.
    """
    sockets: list[socket.socket | None] = [None] * count
    sending = itertools.cycle(KINDS[kind] for kind in kinds)
    loop = asyncio.get_running_loop()

    def ended(client: socket.socket) -> bool:
        try:
            return client.recv(1 << 16) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def fill() -> None:
        for index, client in enumerate(sockets):
            if index % 16 == 0:
                await asyncio.sleep(0)
            if client is not None and not ended(client):
                continue
            if client is not None:
                client.close()
            client = sockets[index] = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            with contextlib.suppress(OSError):
                client.send(next(sending))

    async def keep() -> None:
        while True:
            await asyncio.sleep(0.002)
            await fill()

    await fill()
    keeping = asyncio.create_task(keep()) if again else None
    try:
        yield
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        for client in sockets:
            if client is not None:
                client.close()
