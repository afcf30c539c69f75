"""A server that was held up, such as by a machine that slept, blames no client for it.

Knows: the deadlines of clients. Does not know: those that clients miss themselves (tests/live/server).
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import numpy as np
import pytest

from streamrvq import connect
from tests.support.hostile.served import killed_at_last, served
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.service import RATE

CLIENTS = 8


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no process can be stopped here")
def test_clients_that_sent_meanwhile_stay(served_weights: Path) -> None:
    server, url = served(served_weights, "--idle-timeout", 2 * DEADLINE)

    async def client(ready: asyncio.Semaphore, awake: asyncio.Event) -> int:
        async with asyncio.timeout(PATIENCE), connect(url, sample_rate=RATE) as stream:
            ready.release()
            while not awake.is_set():
                await stream.send(np.zeros(RATE // 10, np.float32))
                await asyncio.sleep(0.1)
            await stream.stop()
            return sum([frames.codes.shape[1] async for frames in stream])

    async def go() -> list[int | BaseException]:
        ready, awake = asyncio.Semaphore(0), asyncio.Event()
        running = [asyncio.create_task(client(ready, awake)) for _ in range(CLIENTS)]
        for _ in running:
            await ready.acquire()
        server.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2.4 * DEADLINE)
        server.send_signal(signal.SIGCONT)
        await asyncio.sleep(1)  # it looks at deadlines twice a second
        awake.set()
        return await asyncio.gather(*running, return_exceptions=True)

    with killed_at_last(server):
        frames = asyncio.run(go())
    assert all(isinstance(count, int) and count > 0 for count in frames), frames
    server.communicate()
