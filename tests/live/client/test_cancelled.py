"""A call of a remote stream that is cancelled while it waits: what it was given goes out once, with the next call."""

import asyncio

import numpy as np
import pytest

import streamrvq
from streamrvq import StreamClosedError
from tests.support.contract import noise
from tests.support.service import CAUSAL, RATE, int16, joined, serving


async def cancelled(stream, call) -> None:
    """Cancel a call that waits for its turn to send."""
    async with stream._connection._send_lock:
        waiting = asyncio.create_task(call)
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.asyncio
async def test_samples_of_a_cancelled_send_come_once_and_in_order():
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE, format="s16le") as stream:
        await stream.send(pcm[:4000])
        await cancelled(stream, stream.send(pcm[4000:9000]))
        await stream.send(pcm[9000:20_000])
        await cancelled(stream, stream.send(pcm[20_000:]))
        await stream.stop()
        items = [item async for item in stream]
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))


@pytest.mark.asyncio
async def test_a_cancelled_stop_may_be_repeated():
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE, format="s16le") as stream:
        await stream.send(pcm)
        await cancelled(stream, stream.stop())
        with pytest.raises(StreamClosedError, match="send after stop"):
            await stream.send(pcm)
        await cancelled(stream, stream.stop())
        await stream.stop()
        items = [item async for item in stream]
        await stream.stop()
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))
