"""A run at real-time pace: clients, faults among them, and what server and load used meanwhile.

Knows: which clients there are, and when. Does not know: which codes are right (verify.py), what the figures mean
(report.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import math
import os
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

import numpy as np

from ..clients.audio import LoopedAudio
from ..clients.faults import Fault, Faults, make_faults
from ..clients.pacer import Pacer
from ..clients.phase import phase
from ..clients.raw import RawClient
from ..clients.relay import Relay
from ..clients.remote_stream import RemoteStreamClient
from ..record import End, Record
from ..servers.metrics import Reading
from ..servers.process import ServerProcess
from ..settings import Settings
from ..usage import Usage, usage

#: Seconds before the first message, then for figures to settle, and at the end to wait for the last clients.
_LEAD, _SETTLE, _LAST = 0.3, 1.0, 20.0
#: Samples of the server's usage at least, however late the first of them was: a series needs as many.
_SAMPLES = 4
#: Seconds until the buffers of the kernel are full for a client that never reads, on a busy machine too.
_FILLING = 60.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run gave. Times are of `time.perf_counter`."""

    records: list[Record]
    faults: list[Fault]  #: the faults that happened, with ``at`` as such a time
    window: float  #: seconds after a fault that count as near it
    began: float
    ended: float  #: later than asked for if faults, attacks or measurements came late
    usages: list[Usage]  #: of the server, from when figures had settled until the last sample was sent
    figures: Reading  #: what /metrics counted in that time
    closes: dict[str, int]  #: connections by close code, until the very end
    late: float  #: 99 % of the messages left at most this many seconds late
    own_cpu: float  #: cores that the load used
    errors: list[str]  #: from the server's log


class Beside(Protocol):
    """What happens beside the clients, and for how many seconds afterwards they may notice it."""

    window: float

    async def run(self, began: float, end: float) -> list[Fault]:
        """Do it between these times, and return what happened when."""


class RealtimeRun:
    """A run at real-time pace.

    Args:
        settings: of the run.
        server: the server under load.
        audio: what the clients send.
        block: samples in a message.
        sample_every: seconds between two samples of the server's usage.
        beside: what else happens, in place of faults.
    """

    def __init__(
        self, settings: Settings, server: ServerProcess, audio: LoopedAudio, block: int, sample_every: float = 5.0,
        beside: Beside | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._server, self._audio, self._block = settings, server, audio, block
        self._sample_every = min(sample_every, settings.seconds / 10)
        self._period = block / audio.rate
        self._records: list[Record] = []
        self._clients: list[RawClient] = []
        self._remote_streams: list[tuple[RemoteStreamClient, asyncio.Task[None]]] = []
        self._happened: list[Fault] = []
        self._beside, self._pacer = beside, Pacer()
        self._all_done = False  # whether clients may stop: everything was measured, and whatever was to happen did
        self._rng = random.Random(settings.seed + 1)

    async def run(self) -> Outcome:
        """Run all clients, from the first connection to the last."""
        settings, faults = self._settings, make_faults(self._settings)
        relayed = settings.faults_per_period
        async with AsyncExitStack() as stack:
            relays = [await stack.enter_async_context(Relay(self._server.port)) for _ in range(relayed)]
            raw = [await self._open() for _ in range(settings.streams - relayed)]
            gc.collect()
            gc.freeze()  # these objects live until the end: the collector need not look at them again
            began = time.perf_counter() + _LEAD
            end = began + settings.seconds
            for relay in relays:
                client = RemoteStreamClient(self._record(), self._audio, relay, settings.token)
                first = began + self._phase(client.record)
                enough = self._enough(client.record, first, end)
                self._remote_streams.append((client, asyncio.create_task(client.run(first, enough))))
            for number, opened in enumerate(raw):
                self._start(opened, began + self._phase(opened.record) + number * 1e-4, end)
            injecting = asyncio.create_task(self._run_faults(faults, began, end))
            beside = asyncio.create_task(self._beside.run(began, end)) if self._beside is not None else None
            usages, figures, own = await self._measure(began, end)
            await injecting
            if beside is not None:
                self._happened += await beside
            self._all_done, ended = True, max(end, time.perf_counter())
            await self._ends()
            closes = (await self._after_all()).closes()
        gc.unfreeze()
        self._pacer.close()
        late = float(np.percentile(np.array(self._pacer.late), 99)) if self._pacer.late else 0.0
        window = faults.window if self._beside is None else self._beside.window
        return Outcome(self._records, self._happened, window, began, ended, usages, figures, closes, late, own,
                   self._server.errors())  # fmt: skip

    # ------------------------------------------------------------- clients

    def _record(self) -> Record:
        number = len(self._records)
        record = Record(number, self._audio.offset(number), self._audio.rate, self._block)
        self._records.append(record)
        return record

    def _phase(self, record: Record) -> float:
        """A stream's start within a hop. The hops of different streams end at different times, spread evenly."""
        return phase(record.number) * self._period

    def _enough(self, record: Record, first: float, end: float) -> Callable[[], bool]:
        """Whether a client that begins at ``first`` has sent enough: what was asked for, and until all else is done."""
        samples = max(1, int((end - first) / self._period)) * self._block
        return lambda: self._all_done and record.samples >= samples

    async def _open(self) -> RawClient:
        client = RawClient(self._record(), self._audio, token=self._settings.token)
        await client.open(self._server.url)
        self._clients.append(client)
        return client

    def _start(self, client: RawClient, first: float, end: float) -> None:
        enough = self._enough(client.record, first, end)

        def step(now: float) -> bool:
            if client.stopped:
                return False
            if client.deaf:  # when the server stops reading too, the client waits to be disconnected
                client.send_unread(now)
                return True
            client.send(now)
            if enough():
                client.stop()
            return not client.stopped

        self._pacer.add(first, self._period, step)

    async def _ends(self) -> None:
        deaf = [asyncio.create_task(client.closed.wait()) for client in self._clients if client.deaf]
        others = [asyncio.create_task(client.closed.wait()) for client in self._clients if not client.deaf]
        _, late = await asyncio.wait([*others, *(task for _, task in self._remote_streams)], timeout=_LAST)
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
        """The server's figures, once the server has seen the last stream's end."""
        until = time.perf_counter() + _LAST
        while (reading := await self._server.reading()).get("streams") and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        return reading

    # ------------------------------------------------------------- faults

    async def _run_faults(self, faults: Faults, began: float, end: float) -> None:
        replacing = []
        for fault in faults.list:
            await asyncio.sleep(began + fault.at - time.perf_counter())
            if self._inject(fault.kind, faults):
                self._happened.append(Fault(time.perf_counter(), fault.kind))
                if fault.kind in ("kill", "cut", "deaf"):
                    replacing.append(asyncio.create_task(self._replace(faults.window / 5, end)))
        if self._happened:  # the effect of the last one is seen completely, however late it was
            await asyncio.sleep(self._happened[-1].at + faults.window - time.perf_counter())
        for task in replacing:
            await task

    def _inject(self, kind: str, faults: Faults) -> bool:
        now = time.perf_counter()
        if kind == "resume":
            open_now = [client for client, task in self._remote_streams if not task.done()]
            if not open_now:
                return False
            client = min(open_now, key=lambda client: client.record.resumed)
            client.record.fault, client.record.resumed = (kind, now), client.record.resumed + 1
            client.relay.cut(within_a_message=bool(client.record.resumed % 2))
            return True
        victims = [client for client in self._clients if client.record.fault is None and not client.stopped]
        if not victims:
            return False
        victim = self._rng.choice(victims)
        victim.record.fault = (kind, now)
        match kind:
            case "kill":
                victim.kill()
            case "cut":
                victim.cut()
            case "stall":
                victim.stall(faults.stall)
            case "deaf":
                victim.stop_reading()
        return True

    async def _replace(self, after: float, end: float) -> None:
        await asyncio.sleep(after)
        first = time.perf_counter()
        if end - first > 10 * self._period:
            self._start(await self._open(), first + self._period, end)

    # ------------------------------------------------------------- figures

    async def _measure(self, began: float, end: float) -> tuple[list[Usage], Reading, float]:
        settle = min(_SETTLE, self._settings.seconds / 5)
        await asyncio.sleep(began + settle - time.perf_counter())
        before, own = await self._server.reading(), usage(os.getpid())
        usages = [self._server.usage()]
        end -= 2 * self._period + 0.1  # while all clients are still connected
        for _ in range(math.ceil(_LAST / self._sample_every)):
            while (left := end - time.perf_counter()) > 0 or len(usages) < _SAMPLES:
                await asyncio.sleep(min(left, self._sample_every) if left > 0 else self._sample_every)
                usages.append(self._server.usage())
            figures, end = (await self._server.reading()).since(before), time.perf_counter() + self._sample_every
            # Nothing was encoded since `before` if that came late: it is the same text, until the server renews it.
            if figures.get("audio_seconds_total", direction="encode") or all(c.closed.is_set() for c in self._clients):
                break
        now = usage(os.getpid())
        return usages, figures, (now.cpu - own.cpu) / (now.time - own.time)
