"""A client of the package's own making, behind a relay that breaks: it has to come back and go on.

Knows: `RemoteStream`, pace. Does not know: when its connection is cut (faults.py).
"""

from __future__ import annotations

import asyncio
import time

import streamrvq
from streamrvq import Frames, StreamRVQError

from ..record import End, Record
from .material import Lap
from .relay import Relay


class RealClient:
    """One stream of `streamrvq.connect` in real time, which comes back whenever the relay cuts its connection.

    Args:
        record, lap: as for `client.Client`.
        relay: what it connects through.
    """

    def __init__(self, record: Record, lap: Lap, relay: Relay) -> None:
        self.record, self.relay, self._lap = record, relay, lap
        record.real = True

    async def run(self, first: float, messages: int) -> None:
        """Send so many messages from ``first`` on (of `time.perf_counter`), and take everything that comes."""
        record = self.record
        try:
            async with streamrvq.connect(self.relay.url, sample_rate=self._lap.rate, format="s16le") as stream:
                sending = asyncio.create_task(self._send(stream, first, messages))
                try:
                    async for item in stream:
                        assert isinstance(item, Frames)
                        self._take(item)
                    await sending
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
            assert stream.done is not None
            record.told, record.final = stream.done.frames, True
            record.ends(End.DONE)
        except StreamRVQError as error:
            record.ends(End.LOST, str(error), getattr(error, "code", 0) or 0)

    async def _send(self, stream: streamrvq.RemoteStream, first: float, messages: int) -> None:
        record = self.record
        period = record.block / record.rate
        for number in range(messages):
            await asyncio.sleep(first + number * period - time.perf_counter())
            record.sent.append(time.perf_counter())
            await stream.send(self._lap.samples(record.offset + record.samples, record.block))
            record.samples += record.block
        await stream.stop()

    def _take(self, item: Frames) -> None:
        record = self.record
        if item.index != record.frames:
            record.ends(End.BROKEN, f"frame {item.index} came; wanted {record.frames}")
        record.levels = item.codes.shape[0]
        record.frames += item.codes.shape[1]
        record.codes += item.codes.T.astype("<u2").tobytes()
        record.times.append(time.perf_counter())
        record.counts.append(item.codes.shape[1])
