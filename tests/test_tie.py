"""A stream that is taken up again: what is sent while the new connection introduces itself waits for its turn."""

import asyncio

import numpy as np
import pytest

import streamrvq
from streamrvq.live import tie
from tests.contract import noise
from tests.service import CAUSAL, RATE, int16, joined, serving


@pytest.mark.asyncio
async def test_samples_sent_while_coming_back(monkeypatch):
    links, coming, go_on = [], asyncio.Event(), asyncio.Event()
    plain = tie.open_link

    async def open_link(*arguments):
        link = await plain(*arguments)
        links.append(link)
        if len(links) > 1:
            receive = link.receive

            async def late():
                coming.set()
                await go_on.wait()
                return await receive()

            monkeypatch.setattr(link, "receive", late)
        return link

    monkeypatch.setattr(tie, "open_link", open_link)
    pcm = int16(noise(RATE))
    async with serving() as server, streamrvq.connect(server.url, sample_rate=RATE, format="s16le") as stream:
        await stream.send(pcm[:4000])
        links[0]._socket.transport.abort()
        await coming.wait()  # `resume` has been sent and not been answered
        sending = asyncio.create_task(stream.send(pcm[4000:]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go_on.set()
        await sending
        await stream.stop()
        items = [item async for item in stream]
    assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))
