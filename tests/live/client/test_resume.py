"""Resuming a stream: what is sent meanwhile waits, and attempts are repeated that may succeed later."""

import asyncio

import numpy as np
import pytest

import streamrvq
from streamrvq import ServiceError
from streamrvq.live.client import resume
from tests.support.contract import noise
from tests.support.parking import CODEBOOKS, HOP, Parking
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, RATE, int16, joined, serving


@pytest.mark.asyncio
async def test_samples_sent_while_resuming(monkeypatch):
    connections, resuming, go_on = [], asyncio.Event(), asyncio.Event()
    plain = resume.open_connection

    async def open_connection(*arguments):
        connection = await plain(*arguments)
        connections.append(connection)
        if len(connections) > 1:
            receive = connection.receive

            async def late():
                resuming.set()
                await go_on.wait()
                return await receive()

            monkeypatch.setattr(connection, "receive", late)
        return connection

    monkeypatch.setattr(resume, "open_connection", open_connection)
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE, format="s16le") as stream:
        await stream.send(pcm[:4000])
        connections[0]._socket.transport.abort()
        await resuming.wait()  # `resume` was sent and is not answered yet
        # Who sends waits for the reading task only so long, but not when that is at it.
        stream._connection._timeout = stream._connection._resume_seconds = 1e-9
        sending = asyncio.create_task(stream.send(pcm[4000:]))
        for _ in range(9):
            await asyncio.sleep(0)
        assert not sending.done()
        go_on.set()
        await sending
        await stream.stop()
        items = [item async for item in stream]
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))


@pytest.mark.asyncio
async def test_a_server_that_hangs_does_not_hold_a_client_beyond_its_resume_time(monkeypatch):
    plain, connections = resume.open_connection, []

    async def open_connection(*arguments):
        if connections:
            await asyncio.Event().wait()  # the connection is neither accepted nor refused
        connections.append(await plain(*arguments))
        return connections[0]

    monkeypatch.setattr(resume, "open_connection", open_connection)
    async with asyncio.timeout(PATIENCE), serving() as server:
        stream = streamrvq.connect(server.url, timeout=10 * PATIENCE, resume=0.5)
        with pytest.raises(ServiceError, match=r"could not be resumed: .* did not answer within") as lost:
            async with stream:
                connections[0]._socket.transport.abort()
                async for _ in stream:
                    pass
        assert lost.value.code == 1006


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [0, 1001, 1006, 1013, 502, 503, 504])
async def test_an_attempt_that_may_succeed_later_is_repeated(monkeypatch, code):
    plain, connections, refusals = resume.open_connection, [], [ServiceError("not now", code)]

    async def open_connection(*arguments):
        if connections and refusals:
            raise refusals.pop()
        connections.append(await plain(*arguments))
        return connections[-1]

    monkeypatch.setattr(resume, "open_connection", open_connection)
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, resume=PATIENCE, format="s16le") as stream:
        await stream.send(pcm[:4000])
        connections[0]._socket.transport.abort()
        await stream.send(pcm[4000:])
        await stream.stop()
        items = [item async for item in stream]
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))
    assert not refusals


@pytest.mark.asyncio
async def test_a_place_that_is_free_later_is_waited_for_and_news_are_passed_over():
    pcm = np.arange(1, 10 * HOP + 1, dtype=np.int16)
    server = Parking([4], full=2, newer=True)
    async with server.url() as url, streamrvq.connect(url, resume=PATIENCE, format="s16le") as stream:
        for part in np.split(pcm, 10):
            await stream.send(part)
        await stream.stop()
        items = [item async for item in stream]
    assert server.full == 0
    assert len(server.resumptions) == 1
    assert np.array_equal(joined(items, "encode"), pcm.view(np.uint16).reshape(-1, HOP)[:, :CODEBOOKS].T)
