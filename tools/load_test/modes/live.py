"""The run itself: clients at real-time pace, faults among them, and what server and load used meanwhile.

Knows: who is there and when. Does not know: which codes are right (verify.py), what the figures mean (report.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import random
import time
from contextlib import AsyncExitStack

import numpy as np

from ..clients.client import Client
from ..clients.faults import Fault, Faults, make_faults
from ..clients.material import Lap
from ..clients.pacer import Pacer
from ..clients.real import RealClient
from ..clients.relay import Relay
from ..record import End, Record
from ..servers.host import Host
from ..servers.scrape import Reading
from ..settings import Settings
from ..usage import Usage, usage

_GOLDEN = 0.6180339887498949
#: Seconds before the first message, for figures to settle after it, and to wait for the last ends.
_LEAD, _SETTLE, _LAST = 0.3, 1.0, 20.0
#: And for a client that never reads, until what the kernel holds for it is full.
_FILLING = 20.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of it. Times are of `time.perf_counter`."""

    records: list[Record]
    faults: list[Fault]  #: that happened; ``at`` such a time, too
    window: float  #: seconds after a fault that count as near it
    began: float
    ended: float
    usages: list[Usage]  #: of the server, from when the figures had settled to the last sample sent
    figures: Reading  #: what /metrics counted in that time
    closes: dict[str, int]  #: connections by close code, to the very end
    late: float  #: seconds that 99 % of the messages left within after their time
    own_cpu: float  #: cores that the load took
    errors: list[str]  #: of the server's log


class Live:
    """A run of many live streams: its clients, their records, and the server's usage meanwhile.

    Args:
        settings: what is asked of the run.
        host: the server.
        lap: the audio.
        block: samples of a message.
        sample_every: seconds between two looks at the server's usage.
    """

    def __init__(self, settings: Settings, host: Host, lap: Lap, block: int, sample_every: float = 5.0) -> None:
        self._settings, self._host, self._lap, self._block = settings, host, lap, block
        self._sample_every = min(sample_every, settings.seconds / 10)
        self._period = block / lap.rate
        self._records: list[Record] = []
        self._clients: list[Client] = []
        self._real: list[tuple[RealClient, asyncio.Task[None]]] = []
        self._happened: list[Fault] = []
        self._pacer = Pacer()
        self._rng = random.Random(settings.seed + 1)

    async def run(self) -> Run:
        """From the first connection to the last."""
        settings, faults = self._settings, make_faults(self._settings)
        real = settings.hits
        async with AsyncExitStack() as stack:
            relays = [await stack.enter_async_context(Relay(self._host.port)) for _ in range(real)]
            lean = [await self._open() for _ in range(settings.streams - real)]
            gc.collect()
            gc.freeze()  # what is here now stays to the end; the collector need not look at it in each round
            began = time.perf_counter() + _LEAD
            end = began + settings.seconds
            for relay in relays:
                client = RealClient(self._record(), self._lap, relay)
                first = began + self._phase(client.record)
                running = client.run(first, self._messages(first, end))
                self._real.append((client, asyncio.create_task(running)))
            for number, opened in enumerate(lean):
                self._start(opened, began + self._phase(opened.record) + number * 1e-4, end)
            troubling = asyncio.create_task(self._trouble(faults, began, end))
            usages, figures, own = await self._watch(began, end)
            await troubling
            await self._ends()
            closes = (await self._after_all()).closes()
        gc.unfreeze()
        self._pacer.close()
        late = float(np.percentile(np.array(self._pacer.late), 99)) if self._pacer.late else 0.0
        return Run(self._records, self._happened, faults.window, began, end, usages, figures, closes, late, own,
                   self._host.errors())  # fmt: skip

    # ------------------------------------------------------------- clients

    def _record(self) -> Record:
        number = len(self._records)
        record = Record(number, self._lap.offset(number), self._lap.rate, self._block)
        self._records.append(record)
        return record

    def _phase(self, record: Record) -> float:
        """Hops of different streams end at different times, evenly over a hop."""
        return (record.number * _GOLDEN) % 1.0 * self._period

    def _messages(self, first: float, end: float) -> int:
        return max(1, int((end - first) / self._period))

    async def _open(self) -> Client:
        client = Client(self._record(), self._lap)
        await client.open(self._host.url)
        self._clients.append(client)
        return client

    def _start(self, client: Client, first: float, end: float) -> None:
        record, samples = client.record, self._messages(first, end) * self._block

        def step(now: float) -> bool:
            if client.stopped:
                return False
            if client.deaf:  # once the server reads no more either, it waits to be cut off
                client.shout(now)
                return True
            client.send(now)
            if record.samples >= samples:
                client.stop()
            return not client.stopped

        self._pacer.add(first, self._period, step)

    async def _ends(self) -> None:
        deaf = [asyncio.create_task(client.closed.wait()) for client in self._clients if client.deaf]
        others = [asyncio.create_task(client.closed.wait()) for client in self._clients if not client.deaf]
        _, late = await asyncio.wait([*others, *(task for _, task in self._real)], timeout=_LAST)
        if deaf:
            late |= (await asyncio.wait(deaf, timeout=_FILLING + self._settings.send_timeout))[1]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        for client in self._clients:
            if not client.closed.is_set():
                client.record.ends(End.BROKEN, "the connection was still open long after the last sample was sent")
                client.kill()

    async def _after_all(self) -> Reading:
        """The server's figures once it has seen the last stream's end, too."""
        until = time.perf_counter() + _LAST
        while (reading := await self._host.reading()).get("streams") and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        return reading

    # ------------------------------------------------------------- faults

    async def _trouble(self, faults: Faults, began: float, end: float) -> None:
        replacing = []
        for fault in faults.list:
            await asyncio.sleep(began + fault.at - time.perf_counter())
            if self._hit(fault.kind, faults):
                self._happened.append(Fault(time.perf_counter(), fault.kind))
                if fault.kind in ("kill", "cut", "deaf"):
                    replacing.append(asyncio.create_task(self._replace(faults.window / 5, end)))
        for task in replacing:
            await task

    def _hit(self, kind: str, faults: Faults) -> bool:
        now = time.perf_counter()
        if kind == "resume":
            open_now = [client for client, task in self._real if not task.done()]
            if not open_now:
                return False
            client = min(open_now, key=lambda client: client.record.resumed)
            client.record.hit, client.record.resumed = (kind, now), client.record.resumed + 1
            client.relay.cut(within_a_message=bool(client.record.resumed % 2))
            return True
        victims = [client for client in self._clients if client.record.hit is None and not client.stopped]
        if not victims:
            return False
        victim = self._rng.choice(victims)
        victim.record.hit = (kind, now)
        match kind:
            case "kill":
                victim.kill()
            case "cut":
                victim.cut()
            case "stall":
                victim.stall(faults.stall)
            case "deaf":
                victim.deafen()
        return True

    async def _replace(self, after: float, end: float) -> None:
        await asyncio.sleep(after)
        first = time.perf_counter()
        if end - first > 10 * self._period:
            self._start(await self._open(), first + self._period, end)

    # ------------------------------------------------------------- figures

    async def _watch(self, began: float, end: float) -> tuple[list[Usage], Reading, float]:
        settle = min(_SETTLE, self._settings.seconds / 5)
        await asyncio.sleep(began + settle - time.perf_counter())
        before, own = await self._host.reading(), usage(os.getpid())
        usages = [self._host.usage()]
        end -= 2 * self._period + 0.1  # while all are still there
        while (left := end - time.perf_counter()) > 0:
            await asyncio.sleep(min(left, self._sample_every))
            usages.append(self._host.usage())
        figures, now = (await self._host.reading()).since(before), usage(os.getpid())
        return usages, figures, (now.cpu - own.cpu) / (now.time - own.time)
