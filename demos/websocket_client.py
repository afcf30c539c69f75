"""A client of `streamrvq serve`, written from PROTOCOL.md alone.

It sends two seconds of a rising tone as PCM, and prints the codes as they come.

python demos/websocket_client.py [ws://127.0.0.1:8000]
"""

import argparse
import asyncio
import json
import math
import os
import struct
import sys
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidURI, WebSocketException

RATE, BLOCK = 16_000, 320
pcm = [round(9000 * math.sin(2 * math.pi * (200 + n / 100) * n / RATE)) for n in range(2 * RATE)]


async def send(ws) -> None:
    for seq, pos in enumerate(range(0, len(pcm), BLOCK)):
        await ws.send(struct.pack(f"<BBHIQ{BLOCK}h", 1, 0, 0, seq, pos, *pcm[pos : pos + BLOCK]))
        await asyncio.sleep(BLOCK / RATE)  # as a microphone would
    await ws.send('{"type": "stop"}')


async def main(url: str) -> None:
    here = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")  # where no proxy of the environment leads
    proxy = None if here else True
    # No pings: their answers queue behind the audio, so a late one would not mean that the server is lost.
    settings = {"subprotocols": ["streamrvq.v1"], "compression": None, "ping_interval": None, "proxy": proxy}
    async with connect(url, **settings) as ws:
        start = {"type": "start", "version": 1, "mode": "encode", "sample_rate": RATE, "format": "s16le"}
        await ws.send(json.dumps(start))
        print(await ws.recv())  # ready, or error
        sending = asyncio.create_task(send(ws))
        try:
            async for message in ws:
                if isinstance(message, str):
                    print(message)  # done, or error
                    continue
                _kind, _flags, codebooks, _seq, index = struct.unpack_from("<BBHIQ", message)
                for frame in range((len(message) - 16) // (2 * codebooks)):
                    print(index + frame, *struct.unpack_from(f"<{codebooks}H", message, 16 + 2 * codebooks * frame))
        finally:  # where the server closed early, sending fails for the same reason
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:8000", help="of the server: ws://host:port")
url = parser.parse_args().url
try:
    asyncio.run(main(url))
    sys.stdout.flush()
except BrokenPipeError:  # who read the codes has gone
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(141) from None
except (OSError, ValueError, WebSocketException) as error:  # ValueError: a port that is none, say
    wanted = "; wanted ws://HOST:PORT" if isinstance(error, (InvalidURI, ValueError)) else ""
    print(f"websocket_client.py: error: {url}: {error}{wanted}", file=sys.stderr)
    raise SystemExit(2) from None
except KeyboardInterrupt:
    raise SystemExit(130) from None
