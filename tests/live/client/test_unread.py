"""A user who sends and does not read: the reading task stands still, and no call waits for it for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

import streamrvq
from streamrvq import ServiceError
from streamrvq.live.client import resume
from streamrvq.live.client.stream import RemoteStream
from streamrvq.live.protocol.binary import Outgoing, PayloadFormat, PayloadKind
from streamrvq.live.protocol.constants import Close
from streamrvq.live.protocol.text import Message, Start, parse
from streamrvq.live.server.handshake import ready_message
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, until

pytestmark = pytest.mark.asyncio

READY = ready_message(CAUSAL, "session", Start(mode="encode"), 1 << 15, PATIENCE).to_json()
BLOCK = np.zeros(64, np.int16)


class Unread:
    """A connection that gives frames without end, and takes nothing after the first message."""

    def __init__(self) -> None:
        self._frames = Outgoing(PayloadKind.CODES, 1 << 15, PayloadFormat())
        self._open = False

    async def send(self, data: str | bytes) -> None:
        if self._open:
            raise ServiceError("the server took no message", Close.LOST)

    async def receive(self) -> Message | bytes:
        await asyncio.sleep(0)
        if not self._open:
            self._open = True
            return parse(READY, "server")
        return self._frames.pack(np.zeros((3, 1), np.int64))[0]

    async def close(self, seconds: float) -> None:
        pass


@asynccontextmanager
async def unread(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RemoteStream]:
    """A stream whose queue is full, that waits a moment for what it waits for."""

    async def open_connection(*_: object) -> Unread:
        return Unread()

    monkeypatch.setattr(resume, "open_connection", open_connection)
    async with asyncio.timeout(PATIENCE), streamrvq.connect("ws://unread", queue_size=2) as stream:
        await until(stream._queue.full)
        stream._connection._timeout = stream._connection._resume_seconds = 0.05
        yield stream


async def test_sending_ends_with_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with unread(monkeypatch) as stream:
        with pytest.raises(ServiceError, match=r"took no message; its items were not read for 0.1 s .* read them") as e:
            await stream.send(BLOCK)
        assert e.value.code == Close.LOST
        for call in (stream.send(BLOCK), stream.marker(1), stream.stop()):
            with pytest.raises(ServiceError):
                await call


async def test_a_call_behind_one_that_was_cancelled_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with unread(monkeypatch) as stream:
        stream._connection._timeout = PATIENCE
        waiting = asyncio.create_task(stream.send(BLOCK))
        await until(lambda: not stream._connection._connected.is_set())
        waiting.cancel()
        await asyncio.wait([waiting])
        stream._connection._timeout = 0.05
        with pytest.raises(ServiceError, match="were not read"):
            await stream.stop()


async def test_a_call_behind_what_waits_in_the_background_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeping the stream open, and sending again, may wait as long as nobody reads. A user's call may not."""
    async with unread(monkeypatch) as stream:
        stream._resend.put(BLOCK)
        stream._send_pending_in_background()
        keeping = asyncio.create_task(stream._connection.send_sign_of_life(stream._resend, 0))
        await until(lambda: not stream._connection._connected.is_set())
        with pytest.raises(ServiceError, match="were not read"):
            await stream.send(BLOCK)
        with pytest.raises(ServiceError):
            await keeping


async def test_a_source_that_is_fed_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async with unread(monkeypatch) as stream:
        stream.feed([BLOCK])
        await until(lambda: stream._feeding is not None and stream._feeding.done())
        stream._incoming.pos += 1  # the next frame is a wrong one: the reading task ends, too
        with pytest.raises(ServiceError, match="were not read"):
            async for _ in stream:
                pass


class Taking(Unread):
    """A connection that takes everything at once, as the system does while it has room."""

    async def send(self, data: str | bytes) -> None:
        pass


@pytest.mark.parametrize("how", ["a generator", "an asynchronous one", "calls"])
async def test_who_sends_and_never_waits_lets_the_stream_read(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Such as a device that is read by calls that block: its codes would come only when it has ended."""

    async def open_connection(*_: object) -> Taking:
        return Taking()

    monkeypatch.setattr(resume, "open_connection", open_connection)
    frames = list[int]()
    async with asyncio.timeout(PATIENCE), streamrvq.connect("ws://taking") as stream:

        def blocks() -> Iterator[Any]:
            for _ in range(9):
                frames.append(stream.stats().frames)
                yield BLOCK

        async def asynchronous() -> AsyncIterator[Any]:
            for block in blocks():
                yield block

        if how == "calls":
            for block in blocks():
                await stream.send(block)
        else:
            stream.feed(blocks() if how == "a generator" else asynchronous())
            await until(lambda: len(frames) == 9)
        assert frames == sorted(frames)
        assert frames[-1] > frames[0] + 2
