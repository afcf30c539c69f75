"""What the tests of the websocket service share: a codec that costs little, a server on loopback, raw messages."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from streamrvq.codec import Codec
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.server import access, transport
from streamrvq.live.server import server as server_module
from streamrvq.live.server.scheduling.warmup import warm_up
from streamrvq.live.server.server import Server
from streamrvq.live.server.settings import ServerSettings
from tests.support.contract import QUICK, codec_of, minute
from tests.support.patience import PATIENCE

RATE, HOP = 16_000, 64
#: Without pings, whose answers queue behind the audio: on a busy machine one may come after the usual 20 s.
connect_raw = functools.partial(connect, ping_interval=None, open_timeout=PATIENCE, proxy=None)

#: 250 frames/s, 3 codebooks of 64; exact.
CAUSAL, DELAYED = (codec_of(minute((8, 8), causal=causal, sample_rate=RATE), *QUICK) for causal in (True, False))


_warm_up = functools.cache(warm_up)
#: Each server warms its codec up, which costs more than most tests do: here once for each codec.
server_module.warm_up = lambda codec, max_batch, given_up: _warm_up(codec, max_batch)


def serving(codec: Codec = CAUSAL, **settings: Any) -> Server:
    """A server on a free port of loopback. It waits for its clients as long as a test does, unless it is told."""
    patient = dict.fromkeys(("start_timeout", "idle_timeout", "send_timeout", "park_timeout"), PATIENCE)
    return Server(codec, ServerSettings(**{"port": 0, "max_streams": 64, **patient, **settings}))


def no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers let in what they let in at once, and no more with time: any flood is one, however slowly it comes."""
    monkeypatch.setattr(access, "PER_SECOND", 0)
    monkeypatch.setattr(transport, "PINGS_PER_SECOND", 0.0)
    monkeypatch.setattr(transport, "SMALL_PER_SECOND", 0.0)


def start(**fields: Any) -> str:
    """A start message; a field that is ... is left out."""
    values = {"type": "start", "version": 1, "mode": "encode", "sample_rate": RATE, "format": "s16le"} | fields
    return json.dumps({name: value for name, value in values.items() if value is not ...})


def packet(
    seq: int = 0, pos: int = 0, payload: bytes = b"", kind: int = 1, flags: int = 0, codebooks: int = 0
) -> bytes:
    """A binary message, right or wrong, written without the package's own code."""
    return struct.pack("<BBHIQ", kind, flags, codebooks, seq, pos) + payload


async def end_of(url: str, messages: list[Any], **options: Any) -> tuple[int, list[Any]]:
    """Send messages, whatever comes back. Returns the close code, and the texts that came before it."""
    settings: dict[str, Any] = {
        "subprotocols": [SUBPROTOCOL],
        "compression": None,
        "max_size": None,
    } | options
    texts: list[Any] = []
    async with asyncio.timeout(PATIENCE), connect_raw(url, **settings) as ws:

        async def speak() -> None:
            with suppress(ConnectionClosed):
                for message in messages:
                    await ws.send(message)

        speaking = asyncio.create_task(speak())
        try:
            while True:
                data = await ws.recv()
                if isinstance(data, str):
                    texts.append(json.loads(data))
        except ConnectionClosed:
            pass
        speaking.cancel()
        await asyncio.wait([speaking])
    assert ws.close_code is not None
    return ws.close_code, texts


class RawClient:
    """A client below websockets: it can stop anywhere, and never read. Use in a thread or with small messages."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)

    async def handshake(self, read: bool = True) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        await self.send(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode()
        )
        answer = b""
        while read and not answer.endswith(b"\r\n\r\n"):
            answer += await asyncio.get_running_loop().sock_recv(self.socket, 1)

    async def message(self, data: str | bytes, keep: int | None = None) -> None:
        """A message, or its first ``keep`` bytes on the wire."""
        raw = data.encode() if isinstance(data, str) else data
        frame = Frame(Opcode.TEXT if isinstance(data, str) else Opcode.BINARY, raw).serialize(mask=True, extensions=[])
        await self.send(frame[:keep])

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def close(self, reset: bool = False) -> None:
        if reset:  # no close frame: RST
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


async def until(condition: Any, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds that nothing announces."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def int16(pcm: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pcm * 32768), -32768, 32767).astype(np.int16)


def joined(items, mode):
    """All codes, or samples, of what came."""
    return np.concatenate([item.codes if mode == "encode" else item for item in items], axis=-1)
