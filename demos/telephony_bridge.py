"""A bridge from a telephone's media stream to tokens, and a call to try it with.

    python demos/telephony_bridge.py [--server ws://127.0.0.1:8000] [--port 8080]

Telephone services send calls as websockets: JSON messages, each with 20 ms of µ-law at 8 kHz in base64. The bridge
sends these bytes to `streamrvq serve` as they are. Without --server, one is started here, and a clip calls the bridge:
one of its messages is lost, another comes late. Then the tokens are compared with those of the same samples offline.

A call that sends something else is refused in a sentence, here and to the caller; the others go on.
"""

import argparse
import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from _audio import clip
from _ending import leave
from _live import same
from rich.console import Console
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import streamrvq
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.live.server.server import Server
from streamrvq.live.server.settings import ServerSettings
from streamrvq.resampling import resampler

RATE, CHUNK, SECONDS = 8000, 160, 3.0
LOST, LATE = 40, 90  # messages of the call here, counted from 1
ENCODINGS = {"audio/x-mulaw": "mulaw", "audio/x-alaw": "alaw"}
console = Console(width=120, soft_wrap=True, highlight=False, markup=False)


class BadCallError(Exception):
    """A caller sent what is no call of a telephone; the text says what, and what was wanted."""


def parsed(text: str | bytes) -> dict[str, Any]:
    """A message of a call, which has an event."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadCallError(f"a message is not JSON: {text[:60]!r}; wanted an object with an event") from None
    if not isinstance(message, dict) or not isinstance(message.get("event"), str):
        raise BadCallError(f"a message has no event: {text[:60]!r}; wanted start, media or stop")
    return message


def media_block(message: dict[str, Any]) -> tuple[int, np.ndarray]:
    """The number of a media message, and its bytes, uint8 [n]."""
    media = message.get("media")
    if not isinstance(media, dict) or not {"chunk", "payload"} <= media.keys():
        raise BadCallError("a media message has no media.chunk and media.payload; wanted a number and base64")
    number, payload = str(media["chunk"]), media["payload"]
    if not (number.isascii() and number.isdecimal() and 0 < len(number) < 10 and int(number)):
        raise BadCallError(f"media.chunk is {number[:20]!r}; wanted a whole number from 1")
    try:
        return int(number), np.frombuffer(base64.b64decode(payload, validate=True), np.uint8)
    except (ValueError, TypeError):
        raise BadCallError(f"the payload of media message {number} is not base64: {str(payload)[:40]!r}") from None


def media_format(message: dict[str, Any]) -> tuple[int, str]:
    """The sample rate of a start message, and the name of its format in streamrvq."""
    begun = message.get("start")
    sent = begun.get("mediaFormat") if isinstance(begun, dict) else None
    if not isinstance(sent, dict):
        raise BadCallError("the start message has no start.mediaFormat; wanted its encoding, sampleRate and channels")
    encoding, rate, channels = sent.get("encoding"), sent.get("sampleRate"), sent.get("channels", 1)
    if str(encoding) not in ENCODINGS or channels != 1 or type(rate) is not int:
        wanted = f"one channel of {' or '.join(ENCODINGS)} with its sampleRate in Hz"
        raise BadCallError(f"a call in {str(sent)[:100]}; wanted {wanted}")
    return rate, ENCODINGS[str(encoding)]


async def media(call: ServerConnection, rate: int) -> AsyncIterator[np.ndarray | streamrvq.Gap]:
    """The bytes of a call's media messages, uint8 [n], in order; a gap where messages are missing."""
    wanted, position, lost, late = 1, 0, 0, 0
    length = rate // 50  # samples of a message, until one has come: 20 ms
    async for text in call:
        message = parsed(text)
        if message["event"] == "stop":
            break
        if message["event"] == "start":
            raise BadCallError(
                "a second start message came; wanted one call on a connection: connect again for another"
            )
        if message["event"] != "media":  # a key, say
            continue
        chunk, block = media_block(message)
        if chunk < wanted:  # it is there, or was reported as missing
            late += 1
            console.print(f"media message {chunk} came late or twice; wanted {wanted}: it is left out")
            continue
        if chunk > wanted:
            length = len(block) or length  # as long as those beside them
            samples = (chunk - wanted) * length
            console.print(f"media messages {wanted} to {chunk - 1} are missing, {samples} samples")
            yield streamrvq.Gap(position, samples, "media messages are missing")
            lost, position = lost + chunk - wanted, position + samples
        yield block
        length = len(block) or length
        wanted, position = chunk + 1, position + len(block)
    console.print(f"the call ended: {wanted - 1} media messages, {lost} of them missing; {late} came late or twice")


async def bridge(call: ServerConnection, url: str) -> np.ndarray:
    """Send a call to a streamrvq server and print its codes as they come. Returns them all, [K, T]."""
    while (message := parsed(await call.recv()))["event"] != "start":  # "connected" may come first
        if message["event"] in ("media", "stop"):
            raise BadCallError(f"a {message['event']} message came before start; wanted start with its mediaFormat")
    rate, format = media_format(message)
    async with streamrvq.connect(url, sample_rate=rate, format=format) as stream:
        parts, shown = [np.zeros((stream.ready.codebooks, 0), np.int64)], -1
        stream.feed(media(call, rate))
        async for item in stream:
            if not isinstance(item, streamrvq.Frames):
                console.print(item)
                continue
            parts.append(item.codes)
            if int(2 * item.time) > shown:  # a line each half second
                shown = int(2 * item.time)
                console.print(f"{item.time:6.2f} s  frame {item.index:4d}  {' '.join(map(str, item.codes[:, 0]))}")
    return np.concatenate(parts, axis=1)


async def answer(call: ServerConnection, url: str) -> np.ndarray | None:
    """Bridge a call. What is wrong with it is printed, and told to the caller; None then."""
    try:
        return await bridge(call, url)
    except (BadCallError, streamrvq.StreamRVQError) as error:
        console.print(f"the call was refused: {error}")
        await call.close(1008, str(error).encode("ascii", "replace")[:120].decode())
    except ConnectionClosed:
        console.print("the call broke off, without a stop message")
    return None


async def speak(url: str, voice: np.ndarray) -> None:
    """Call the bridge with a voice, bytes [n], at the pace of a telephone."""
    chunks, sent = voice.reshape(-1, CHUNK), {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1}
    async with connect(url, proxy=None) as call:
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
    calls: list[np.ndarray | None] = []

    async def take(call: ServerConnection) -> None:
        calls.append(await answer(call, server.url))

    async with Server(codec, ServerSettings(port=0, max_streams=1)) as server, serve(take, "127.0.0.1", 0) as bridges:
        await speak(f"ws://127.0.0.1:{bridges.sockets[0].getsockname()[1]}", voice)
    heard = FORMATS["mulaw"].read(voice.tobytes())
    for missing in (LOST, LATE):  # the server puts zeros in the place of short gaps
        heard[(missing - 1) * CHUNK : missing * CHUNK] = 0
    if calls[0] is None:
        return 1
    equal = same(codec, calls[0], heard, RATE, console)
    console.print(f"the tokens {'equal' if equal else 'differ from'} those of the same samples at {RATE} Hz")
    return 0 if equal else 1


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--server", help="where streamrvq serve listens")
    options.add_argument("--port", type=int, default=8080, help="where calls come in")
    given = options.parse_args()
    if not 0 <= given.port <= 65535:
        options.error(f"argument --port: {given.port}; wanted 0 to 65535")
    if given.server is None:
        return await call_here()
    async with serve(lambda call: answer(call, given.server), "127.0.0.1", given.port) as bridges:
        console.print(f"waiting for calls on ws://127.0.0.1:{given.port}; their tokens come from {given.server}")
        await bridges.serve_forever()
    return 0


if __name__ == "__main__":
    leave(lambda: asyncio.run(main()))
