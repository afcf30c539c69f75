"""A bridge from a telephone's media stream to tokens, and a call to try it with.

    python demos/telephony_bridge.py [--server ws://127.0.0.1:8000] [--port 8080]

Telephone services send calls as websockets: JSON messages, each with 20 ms of µ-law at 8 kHz in base64. The bridge
sends these bytes to `streamrvq serve` as they are. Without --server, one is started here, and a clip calls the bridge:
one of its messages is lost, another comes late. Then the tokens are compared with those of the same samples offline.
"""

import argparse
import asyncio
import base64
import json
from collections.abc import AsyncIterator

import numpy as np
from _audio import clip
from _live import same
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import streamrvq
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.live.server.server import Server
from streamrvq.live.server.settings import ServerSettings
from streamrvq.resampling import resampler

RATE, CHUNK, SECONDS = 8000, 160, 3.0
LOST, LATE = 40, 90  # messages of the call here, counted from 1
ENCODINGS = {"audio/x-mulaw": "mulaw", "audio/x-alaw": "alaw"}
console = Console(width=120, soft_wrap=True, highlight=False)


async def media(call: ServerConnection) -> AsyncIterator[np.ndarray | streamrvq.Gap]:
    """The bytes of a call's media messages, uint8 [n], in order; a gap where messages are missing."""
    wanted, position, lost, late = 1, 0, 0, 0
    async for text in call:
        message = json.loads(text)
        if message["event"] == "stop":
            break
        if message["event"] != "media":  # a key, say
            continue
        chunk = int(message["media"]["chunk"])
        block = np.frombuffer(base64.b64decode(message["media"]["payload"], validate=True), np.uint8)
        if chunk < wanted:  # it is there, or was reported as missing
            late += 1
            console.print(f"media message {chunk} came late or twice; wanted {wanted}: it is left out")
            continue
        if chunk > wanted:
            samples = (chunk - wanted) * len(block)
            console.print(f"media messages {wanted} to {chunk - 1} are missing, {samples} samples")
            yield streamrvq.Gap(position, samples, "media messages are missing")
            lost, position = lost + chunk - wanted, position + samples
        yield block
        wanted, position = chunk + 1, position + len(block)
    console.print(f"the call ended: {wanted - 1} media messages, {lost} of them missing; {late} came late or twice")


async def bridge(call: ServerConnection, url: str) -> np.ndarray:
    """Send a call to a streamrvq server and print its codes as they come. Returns them all, [K, T]."""
    while (message := json.loads(await call.recv()))["event"] != "start":
        pass  # "connected" may come first
    sent = message["start"]["mediaFormat"]
    if sent["encoding"] not in ENCODINGS or sent["channels"] != 1:
        raise ValueError(f"a call in {sent}; wanted one channel of {' or '.join(ENCODINGS)}")
    async with streamrvq.connect(url, sample_rate=sent["sampleRate"], format=ENCODINGS[sent["encoding"]]) as stream:
        parts, shown = [np.zeros((stream.ready.codebooks, 0), np.int64)], -1
        stream.feed(media(call))
        async for item in stream:
            if not isinstance(item, streamrvq.Frames):
                console.print(item)
                continue
            parts.append(item.codes)
            if int(2 * item.time) > shown:  # a line each half second
                shown = int(2 * item.time)
                console.print(f"{item.time:6.2f} s  frame {item.index:4d}  {' '.join(map(str, item.codes[:, 0]))}")
    return np.concatenate(parts, axis=1)


async def speak(url: str, voice: np.ndarray) -> None:
    """Call the bridge with a voice, bytes [n], at the pace of a telephone."""
    chunks, sent = voice.reshape(-1, CHUNK), {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1}
    async with connect(url) as call:
        await call.send(json.dumps({"event": "start", "start": {"mediaFormat": sent}}))
        for n in [*range(1, LOST), *range(LOST + 1, LATE), LATE + 1, LATE, *range(LATE + 2, len(chunks) + 1)]:
            payload = base64.b64encode(chunks[n - 1].tobytes()).decode()
            await call.send(json.dumps({"event": "media", "media": {"chunk": str(n), "payload": payload}}))
            await asyncio.sleep(CHUNK / RATE)
        await call.send(json.dumps({"event": "stop"}))
        await call.wait_closed()


async def call_here() -> int:
    """Everything in this process, and the check. Returns the exit code."""
    codec = streamrvq.load(threads=1)
    pcm, rate = clip("speech_hu.flac", SECONDS)
    voice = FORMATS["mulaw"].write(resampler(rate, RATE).whole(pcm))
    calls: list[np.ndarray] = []

    async def take(call: ServerConnection) -> None:
        calls.append(await bridge(call, server.url))

    async with Server(codec, ServerSettings(port=0, max_streams=1)) as server, serve(take, "127.0.0.1", 0) as bridges:
        await speak(f"ws://127.0.0.1:{bridges.sockets[0].getsockname()[1]}", voice)
    heard = FORMATS["mulaw"].read(voice.tobytes())
    for missing in (LOST, LATE):  # the server puts zeros in the place of short gaps
        heard[(missing - 1) * CHUNK : missing * CHUNK] = 0
    equal = same(codec, calls[0], heard, RATE, console)
    console.print(f"the tokens {'equal' if equal else 'differ from'} those of the same samples at {RATE} Hz")
    return 0 if equal else 1


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--server", help="where streamrvq serve listens")
    options.add_argument("--port", type=int, default=8080, help="where calls come in")
    given = options.parse_args()
    if given.server is None:
        return await call_here()
    async with serve(lambda call: bridge(call, given.server), "127.0.0.1", given.port) as bridges:
        await bridges.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
