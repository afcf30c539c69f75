"""A connection's bytes: each is parsed once and in order, and nothing is read while enough of them wait."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from streamrvq.live.server.admission.arrival import Arrival
from streamrvq.live.server.intake import SLICE_BYTES
from streamrvq.live.server.scheduling.live_load import LiveLoad
from streamrvq.live.server.settings import ServerSettings
from streamrvq.live.server.transport import MAX_WAITING_FRAMES, MOST_FRAGMENTS, LimitedConnection
from streamrvq.live.server.websockets import Websockets
from tests.support.patience import PATIENCE
from tests.support.service import RawClient, packet, serving, start, until

HEAD = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: streamrvq.v1\r\n\r\n"
)
#: An empty masked frame; no smaller one can come.
SMALLEST_FRAME = 6


def on_wire(*messages: str | bytes, fragment: int | None = None) -> bytes:
    """Messages as frames, each in fragments of so many bytes."""
    frames = []
    for message in messages:
        opcode, data = (Opcode.TEXT, message.encode()) if isinstance(message, str) else (Opcode.BINARY, message)
        size = fragment or len(data) or 1
        parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        frames += [Frame(Opcode.CONT if at else opcode, part, at + 1 == len(parts)) for at, part in enumerate(parts)]
    return b"".join(frame.serialize(mask=True, extensions=[]) for frame in frames)


class Socket:
    """What a connection needs of its transport. It knows whether it is read."""

    def __init__(self) -> None:
        self.reading, self.closed, self.lost = False, False, False

    def get_extra_info(self, name: str) -> Any:
        return self if name == "socket" else None

    def pause_reading(self) -> None:
        assert not self.lost  # uvloop raises then
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.lost
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.Protocol) -> None: ...
    def setsockopt(self, *option: int) -> None: ...
    def set_write_buffer_limits(self, *limits: int | None) -> None: ...
    def write(self, data: bytes) -> None: ...


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.sampled_from([0, 0, 1, 5, 100, 600, 3000]), min_size=1, max_size=250),
    fragment=st.sampled_from([None, 3, 100, 1000]),
    behind=st.sampled_from([0, 1, 50, 600, 4096]) | st.integers(0, 4096),
    chunks=st.lists(st.sampled_from([1, 7, 100, 1000, 8192]), min_size=1, max_size=5),
    order=st.lists(st.sampled_from(["data", "data", "turn", "take", "trust", "loop"]), max_size=40),
    lost=st.booleans(),
)
def test_messages_come_whole_and_in_order_and_few_wait(
    sizes: list[int], fragment: int | None, behind: int, chunks: list[int], order: list[str], lost: bool
) -> None:
    messages = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    asyncio.run(drive(messages, on_wire(*messages, fragment=fragment), behind, chunks, order, lost))


async def drive(
    messages: list[bytes], wire: bytes, behind: int, chunks: list[int], order: list[str], lost: bool
) -> None:
    """Send messages through a connection.

    Args:
        messages: to be sent.
        wire: their bytes.
        behind: how many of their bytes come together with the handshake.
        chunks: sizes of further reads, repeated.
        order: what happens first; then everything does in turn until all messages came.
        lost: whether the connection is lost instead.
    """
    turns: deque[Any] = deque()
    taken: list[str | bytes] = []
    wanted, over = asyncio.Semaphore(0), asyncio.Event()

    async def take(connection: LimitedConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await wanted.acquire()
                taken.append(await connection.recv())

    async def handle(connection: LimitedConnection) -> None:
        taking = asyncio.create_task(take(connection))
        await over.wait()
        taking.cancel()
        await asyncio.wait([taking])

    async def listen() -> Any:
        return SimpleNamespace(is_serving=lambda: True, sockets=())

    websockets = Websockets(
        listen, {}, handle, print, turns.append, lambda *cut: pytest.fail("cut"), lambda *spent: None, LiveLoad(),
        ServerSettings(),
    )  # fmt: skip
    await websockets.server
    connection, transport, arrival = websockets.new(), Socket(), Arrival(None, "", None)  # type: ignore[arg-type]
    arrival.transport, arrival.head, arrival.rest = transport, HEAD, wire[:behind]  # type: ignore[assignment]
    at, reads = len(arrival.rest), 0
    arrival.hand_over(connection)
    largest = max(behind, *chunks)

    async def happen(what: str) -> None:
        nonlocal at, reads
        if what == "data" and transport.reading and at < len(wire):
            size = chunks[reads % len(chunks)]
            at, reads = at + size, reads + 1
            connection.data_received(wire[at - size : at])
        elif what == "turn" and turns:
            turns.popleft()()
        elif what == "take":
            wanted.release()
        elif what == "trust" and not connection._trusted:
            connection.trust()
        elif what == "loop":
            await asyncio.sleep(0)
        if transport.lost:
            return
        assert transport.reading == (not connection._unparsed and not connection.intake.paused)
        assert len(connection._unparsed) + connection.intake.waiting <= largest
        assert len(connection.recv_messages.frames) <= MAX_WAITING_FRAMES + SLICE_BYTES // SMALLEST_FRAME + 1

    for what in order:
        await happen(what)
    if not lost:
        async with asyncio.timeout(PATIENCE):
            while len(taken) < len(messages):
                for what in ("data", "turn", "take", "loop"):
                    await happen(what)
        assert taken == messages
        over.set()
    transport.lost, transport.closed, transport.reading = True, True, False
    connection.connection_lost(None)
    for what in ("trust", "turn", "take", "loop"):  # it may have been decided before
        await happen(what)
    assert taken == messages[: len(taken)]
    over.set()
    while turns:
        turns.popleft()()
    await asyncio.gather(*websockets.server.handler_tasks)


@pytest.mark.asyncio
async def test_the_time_of_a_client_is_counted_while_it_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server, asyncio.timeout(PATIENCE):
        client = RawClient(server.port)
        await client.handshake()
        (connection,) = server._connections
        assert connection.counts()
        monkeypatch.setattr("streamrvq.live.server.transport.YOUNG_SECONDS", 0.0)
        await client.message(start())
        await until(lambda: server.streams and not connection.counts())
        client.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("header", [False, True])
async def test_a_client_that_sends_on_and_never_reads_fills_no_memory(header: bool) -> None:
    """What comes right behind the handshake counts, too: reading went on although it had been paused for that."""
    frames, at_once = 250, 6
    messages = [packet(number, number * frames, bytes(2 * frames), kind=2, codebooks=1) for number in range(at_once)]
    behind = on_wire(start(mode="decode", n_quantizers=1, token="good"), *messages)
    more = on_wire(bytes(20_000)) * 800  # more than the kernel keeps
    authorization = b"Authorization: Bearer good\r\n\r\n" if header else b"\r\n"
    async with serving(tokens=("good",)) as server:
        client = RawClient(server.port, receive_buffer=4096)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        await client.send(HEAD[:-2] + authorization + behind)
        await until(lambda: server.streams)
        (connection,) = server._connections
        assert isinstance(connection, LimitedConnection)
        await until(lambda: connection.intake.paused)
        sending, quiet = asyncio.create_task(client.send(more)), 0
        # What was decoded waits for the client: no thread that is slow can go on with it any more.
        await until(lambda: connection.transport.get_write_buffer_size() > 1 << 15)
        while not sending.done() and quiet < 100:
            before = connection.intake.waiting
            await asyncio.sleep(0.005)
            quiet = quiet + 1 if connection.intake.waiting == before else 0
        assert not sending.done()
        assert connection.intake.waiting <= 1 << 16
        sending.cancel()
        await asyncio.wait([sending])
        client.close()


@pytest.mark.asyncio
async def test_fragments_are_joined_as_they_come() -> None:
    """Each was kept as an object of 170 bytes, 4096 of them on each connection."""
    message = start(n_quantizers=1).ljust(MOST_FRAGMENTS)
    assert len(message) == MOST_FRAGMENTS
    wire = on_wire(message, fragment=1)
    async with serving() as server:
        client = RawClient(server.port)
        await client.handshake()
        await until(lambda: server.connections)
        (connection,) = server._connections
        assert isinstance(connection, LimitedConnection)
        await client.send(wire[:-7])  # all but the last frame
        await until(lambda: len(connection._joined) == MOST_FRAGMENTS - 1)
        assert not connection.recv_messages.frames
        await client.send(wire[-7:])
        await until(lambda: server.streams)
        assert not connection._joined
        client.close()
        await until(lambda: not server.connections)


@pytest.mark.asyncio
async def test_pings_that_are_never_answered_are_not_kept() -> None:
    async with serving() as server:
        client = RawClient(server.port)
        await client.handshake()
        await until(lambda: server.connections)
        (connection,) = server._connections
        assert isinstance(connection, LimitedConnection)
        for _ in range(3):
            await connection.ping()
        assert len(connection.pending_pings) == 1
        client.close()
        await until(lambda: not server.connections)
