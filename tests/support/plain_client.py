"""A client of the service in plain messages, which keeps what it hears: codes and texts.

Knows: how messages are numbered. Does not know: the package's own client, what is asserted.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import numpy as np
from websockets.exceptions import ConnectionClosed

from tests.support.patience import PATIENCE
from tests.support.service import connect_raw, packet


class Raw:
    """A client in plain messages, which keeps what it hears."""

    def __init__(self, ws):
        self.ws, self.seq, self.pos, self.codes, self.texts, self.expected = ws, 0, 0, [], [], 0

    async def send(self, pcm):
        await self.ws.send(packet(self.seq, self.pos, pcm.tobytes()))
        self.seq, self.pos = self.seq + 1, self.pos + len(pcm)

    async def hear(self, frames=None):
        """Receive until ``frames`` frames have come, or to the end."""
        while frames is None or self.frames < frames:
            try:
                data = await self.ws.recv()
            except ConnectionClosed:
                return
            if isinstance(data, str):
                self.texts.append(json.loads(data))
                continue
            assert int.from_bytes(data[4:8], "little") == self.expected
            assert int.from_bytes(data[8:16], "little") == self.frames
            self.expected += 1
            self.codes.append(np.frombuffer(data[16:], "<u2").reshape(-1, 3))

    @property
    def frames(self):
        return sum(map(len, self.codes))


@asynccontextmanager
async def raw(server, first, **options):
    """A connection whose first message is ``first``; the answer to it is the first of its texts."""
    settings = {"subprotocols": ["streamrvq.v1"], "compression": None, "proxy": None, **options}
    async with asyncio.timeout(PATIENCE), connect_raw(server.url, **settings) as ws:
        await ws.send(first if isinstance(first, str) else json.dumps(first))
        client = Raw(ws)
        client.texts.append(json.loads(await ws.recv()))
        yield client
