"""A client that sends nothing for a while stays: an empty message goes out in time, and changes no code."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

import streamrvq
from streamrvq.live.client import keepalive
from streamrvq.live.client.connection import Connection
from tests.live.server.test_service_resume import cut_all
from tests.support.contract import noise
from tests.support.parking import Parking
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, HOP, RATE, int16, joined, serving, until

pytestmark = pytest.mark.asyncio

LIMIT = 3


async def test_a_pause_does_not_end_a_stream() -> None:
    pcm, codes = noise(3000), np.zeros((3, 5), int)
    async with (
        serving(idle_timeout=LIMIT) as server,
        streamrvq.connect(server.url) as encoding,
        streamrvq.connect(server.url, "decode") as decoding,
        streamrvq.connect(server.url, "decode", n_quantizers=2) as fixed,
    ):
        assert encoding.ready.idle_timeout == LIMIT
        await encoding.send(pcm[:777])
        await asyncio.sleep(2 * LIMIT)
        await encoding.send(pcm[777:])
        for stream, levels in ((decoding, 3), (fixed, 2)):
            await stream.send(codes[:levels])
            await stream.stop()
        await encoding.stop()
        assert np.array_equal(joined([item async for item in encoding], "encode"), CAUSAL.encode(pcm))
        for stream in (decoding, fixed):
            assert len(joined([item async for item in stream], "decode")) == 5 * CAUSAL.hop_length


async def test_empty_messages_and_resuming_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "MOST_SECONDS", 0.003)
    pcm, cuts = int16(noise(RATE)), 0
    async with serving() as server, streamrvq.connect(server.url, format="s16le") as stream:
        for number, part in enumerate(np.array_split(pcm, 10)):
            await stream.send(part)
            await asyncio.sleep(0.02)
            if number % 4 == 1:
                await until(lambda due=cuts: server.metrics.resumed >= due)
                cut_all(server)
                cuts += 1
        await stream.stop()
        assert np.array_equal(joined([item async for item in stream], "encode"), CAUSAL.encode(pcm))
        assert server.metrics.resumed >= 2


async def test_what_a_cancelled_call_left_goes_out_when_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is cancelled behind the first message of several. The user sends nothing more."""
    plain, sent, waiting = Connection.send, asyncio.Event(), [True]

    async def send(self: Connection, data: str | bytes) -> None:
        await plain(self, data)
        if len(data) > 1000 and waiting:
            sent.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(keepalive, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(Connection, "send", send)
    pcm = int16(noise(3 * RATE))
    async with asyncio.timeout(PATIENCE), serving() as server, streamrvq.connect(server.url, format="s16le") as stream:
        calling = asyncio.create_task(stream.send(pcm))
        await sent.wait()
        waiting.clear()
        calling.cancel()
        await asyncio.wait([calling])
        parts: list[np.ndarray] = []
        while sum(part.shape[1] for part in parts) < len(pcm) // HOP:
            parts.append((await anext(stream)).codes)
        assert np.array_equal(np.concatenate(parts, axis=1), CAUSAL.encode(pcm))


async def test_an_older_server_says_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor its resampler; and a newer one may say things that nobody here knows."""
    seen: list[tuple[float, float]] = []  # for how long it sleeps, and what time it is then

    async def sleep(seconds: float) -> None:
        seen.append((seconds, now[-1]))
        await asyncio.Event().wait()

    class Clock:
        def time(self) -> float:
            now.append(asyncio.get_running_loop().time())
            return now[-1]

    now: list[float] = []
    monkeypatch.setattr(keepalive, "asyncio", SimpleNamespace(sleep=sleep, get_running_loop=Clock))
    async with Parking([]).url() as url, streamrvq.connect(url, format="s16le") as stream:
        await until(lambda: seen)
        ((seconds, at),) = seen
        assert seconds == max(0.0, stream._connection.last_sent + 15 - at)
        assert stream.ready.idle_timeout is None
        assert stream.ready.resampler is None
        await stream.send(np.zeros(64, np.int16))
        await stream.stop()
        assert stream.ready.codec == "samples"
        [item async for item in stream]
