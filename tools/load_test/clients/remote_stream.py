"""The package's own client, `RemoteStream`, behind a relay that breaks: it must reconnect and resume.

Knows: `RemoteStream`, real-time pace. Does not know: when its connection is cut (faults.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import streamrvq
from streamrvq import Frames, StreamRVQError

from ..record import End, Record
from .audio import LoopedAudio
from .relay import Relay


class RemoteStreamClient:
    """A `RemoteStream` that sends at real-time pace.

    Args:
        record, audio: as for `raw.RawClient`.
        relay: the relay that it connects through.
        token: the access token, where the server wants one.
    """

    def __init__(self, record: Record, audio: LoopedAudio, relay: Relay, token: str | None = None) -> None:
        self.record, self.relay, self._audio, self._token = record, relay, audio, token
        record.remote_stream = True

    async def run(self, first: float, enough: Callable[[], bool]) -> None:
        """Send messages from ``first`` on (of `time.perf_counter`) until enough, and record everything that comes."""
        record = self.record
        try:
            rate, token = self._audio.rate, self._token
            async with streamrvq.connect(self.relay.url, sample_rate=rate, format="s16le", token=token) as stream:
                sending = asyncio.create_task(self._send(stream, first, enough))
                try:
                    async for item in stream:
                        assert isinstance(item, Frames)
                        self._take(item)
                    await sending
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
            assert stream.done is not None
            record.announced, record.final = stream.done.frames, True
            record.ends(End.DONE)
        except StreamRVQError as error:
            record.ends(End.LOST, str(error), getattr(error, "code", 0) or 0)

    async def _send(self, stream: streamrvq.RemoteStream, first: float, enough: Callable[[], bool]) -> None:
        record = self.record
        period = record.block / record.rate
        while not enough():
            await asyncio.sleep(first + len(record.sent) * period - time.perf_counter())
            record.sent.append(time.perf_counter())
            await stream.send(self._audio.samples(record.offset + record.samples, record.block))
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
