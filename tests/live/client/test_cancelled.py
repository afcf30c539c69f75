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
@pytest.mark.parametrize("resume", [0, 20])
@pytest.mark.parametrize("given", [np.asarray, memoryview], ids=["array", "buffer"])
async def test_a_buffer_that_is_used_again_changes_nothing_that_a_cancelled_send_took(resume, given):
    pcm = int16(noise(RATE))
    buffer = pcm.copy()
    async with (
        serving() as server,
        streamrvq.connect(server.url, sample_rate=RATE, format="s16le", resume=resume) as stream,
    ):
        await cancelled(stream, stream.send(given(buffer)))
        buffer[:] = 0
        await stream.stop()
        items = [item async for item in stream]
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))


@pytest.mark.asyncio
async def test_codes_that_are_changed_after_a_cancelled_send_are_not_sent():
    codes = CAUSAL.encode(noise(RATE))
    buffer = codes.copy()
    async with serving() as server, streamrvq.connect(server.url, "decode", sample_rate=RATE) as stream:
        await cancelled(stream, stream.send(buffer))
        buffer[:] = 1 << 20  # no code
        await stream.stop()
        items = [item async for item in stream]
    assert np.allclose(joined(items, "decode"), CAUSAL.decode(codes), atol=1e-4)


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


@pytest.mark.asyncio
@pytest.mark.parametrize("queue_size", [1, 1024])
async def test_a_stream_that_somebody_else_cancels_does_not_end_as_if_its_server_had(queue_size):
    """A program that cancels all tasks meets the one that reads. Who waits for an item does not wait for ever."""
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE, queue_size=queue_size) as stream:
        await stream.send(pcm)
        await anext(stream)
        waiting = asyncio.create_task(drained(stream))
        await asyncio.sleep(0)
        stream._reading.cancel()
        with pytest.raises(StreamClosedError, match="was cut off: CancelledError came from outside"):
            await waiting
        with pytest.raises(StreamClosedError, match="was cut off"):
            await stream.send(pcm)


async def drained(stream) -> None:
    async for _ in stream:
        pass


@pytest.mark.asyncio
async def test_leaving_early_is_no_error_of_the_stream():
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE) as stream:
        await stream.send(int16(noise(RATE)))
        await anext(stream)
