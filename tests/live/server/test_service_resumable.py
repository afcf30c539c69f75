"""Which ends of a connection a stream survives: one test for each row of the table in PROTOCOL.md, *Resuming*.

The client answers no close, so that the server waits for it, and comes back at once over another connection.
"""

import asyncio
import json
import socket
import struct

import numpy as np
import pytest

from streamrvq.live.protocol.constants import MAX_MESSAGE
from streamrvq.live.server.transport import SMALL_AT_ONCE
from streamrvq.streaming.pool import StreamPool
from tests.support.contract import noise
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.plain_client import raw
from tests.support.service import CAUSAL, HOP, RawClient, end_of, int16, no_refill, packet, serving, start, until

FRAMES = 4
PCM = int16(noise(FRAMES * HOP))


async def frame(client):
    """The next frame of the server: its opcode and payload."""
    loop = asyncio.get_running_loop()

    async def exactly(count):
        data = b""
        while len(data) < count:
            part = await loop.sock_recv(client.socket, count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    opcode, size = await exactly(2)
    if size == 126:
        (size,) = struct.unpack(">H", await exactly(2))
    return opcode & 15, await exactly(size)


async def begun(server, **fields):
    """A client whose stream has made `FRAMES` frames, and the name of its session."""
    client = RawClient(server.port)
    await client.handshake()
    await client.message(start(**fields))
    session = json.loads((await frame(client))[1])["session"]
    await client.message(packet(payload=PCM.tobytes()))
    have = 0
    while have < FRAMES:
        _, data = await frame(client)
        have += (len(data) - 16) // 6
    return client, session


async def code_of(client):
    """The code of the server's close."""
    while True:
        opcode, data = await frame(client)
        if opcode == 8:
            return int.from_bytes(data[:2], "big")


def masked(opcode, data=b"", fin=True):
    return bytes([0x80 * fin | opcode, 0x80 | len(data)]) + bytes(4) + data


class Wire(bytes):
    """Bytes that are sent as they are."""


#: What the client sends, as messages or as bytes of the wire, and the code with which the server closes.
CLOSED = {
    "stop": (['{"type":"stop"}'], 1000),
    "final flag": ([packet(1, len(PCM), flags=1)], 1000),
    "bad message": ([packet(7)], 4400),
    "second start": ([start()], 4400),
    "gap elsewhere": (['{"type":"gap","pos":1,"samples":1}'], 4400),
    "not json": (["{"], 4400),
    "too many levels": (['{"type":"set","n_quantizers":9}'], 4415),
    "too many messages": ([packet(1 + i, len(PCM)) for i in range(6000)], 4429),
    "too many markers": ([packet(1, len(PCM), b"ab"), *['{"type":"marker","id":1}'] * 66], 4429),
    "large text": ([json.dumps({"type": "marker", "id": "x" * 5000})], 1009),
    "large message": ([packet(1, len(PCM), bytes(MAX_MESSAGE))], 1009),
    "too many fragments": ([Wire(masked(2, fin=False) + 5000 * masked(0, fin=False))], 1009),
    "broken frame": ([Wire(b"\xff\x80\0\0\0\0")], 1002),
    "bad text": ([Wire(b"\x81\x82\0\0\0\0\xff\xff")], 1007),
    "pings": ([Wire(masked(9) * 6000)], 4429),
    "pongs": ([Wire(masked(10) * 6000)], 4429),
    "small fragments": ([
        Wire(masked(2, packet(1 + i, len(PCM)), fin=False) + masked(0, fin=False) * 4000 + masked(0)) for i in range(3)
    ], 4429),
}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("how", CLOSED)
async def test_a_close_by_the_server_ends_the_stream_at_once(how, monkeypatch):
    no_refill(monkeypatch)
    messages, code = CLOSED[how]
    async with serving(close_timeout=PATIENCE, stop_timeout=DEADLINE) as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server)

        async def speak():
            for message in messages:
                await (client.send if isinstance(message, Wire) else client.message)(message)

        speaking = asyncio.create_task(speak())
        assert await code_of(client) == code
        assert (await end_of(server.url, [resume(session)]))[0] == 4404
        assert server.sessions.parked == 0
        speaking.cancel()
        await asyncio.wait([speaking])
        client.close(reset=True)
        await until(lambda: server.connections == server.streams == 0)
        assert server.sessions.parked == 0
        assert (await end_of(server.url, [resume(session)]))[0] == 4404


def test_small_fragments_are_limited_beyond_one_message():
    assert SMALL_AT_ONCE > 4096


def resume(session, next_frame=FRAMES, **fields):
    return json.dumps({"type": "resume", "version": 1, "session": session, "next_frame": next_frame, **fields})


@pytest.mark.asyncio
async def test_nothing_received_for_too_long():
    async with serving(close_timeout=PATIENCE, stop_timeout=DEADLINE, idle_timeout=DEADLINE) as server:
        client, session = await begun(server)
        assert await code_of(client) == 4408
        assert (await end_of(server.url, [resume(session)]))[0] == 4404
        client.close(reset=True)


@pytest.mark.asyncio
async def test_a_failed_step(monkeypatch):
    honest = StreamPool.feed_checked

    def feed(self, stream, pcm):
        if len(pcm) == 77:
            raise MemoryError
        honest(self, stream, pcm)

    monkeypatch.setattr(StreamPool, "feed_checked", feed)
    async with serving(close_timeout=PATIENCE, stop_timeout=DEADLINE) as server:
        client, session = await begun(server)
        await client.message(packet(1, len(PCM), bytes(154)))
        assert await code_of(client) == 1011
        assert (await end_of(server.url, [resume(session)]))[0] == 4404
        client.close(reset=True)


@pytest.mark.asyncio
async def test_a_step_that_fails_while_the_stream_is_parked(monkeypatch):
    async with serving() as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server)
        client.close(reset=True)
        await until(lambda: server.sessions.parked)
        for parked in server.sessions._all.values():
            parked.stream.fail(MemoryError())
        assert (await end_of(server.url, [resume(session)]))[0] == 4404


@pytest.mark.asyncio
async def test_a_server_that_goes_down():
    """Neither the stream whose connection is told so, nor one whose connection breaks meanwhile, nor a parked one."""
    async with serving(stop_timeout=DEADLINE) as server, asyncio.timeout(PATIENCE):
        parked, _ = await begun(server)
        parked.close(reset=True)
        await until(lambda: server.sessions.parked == 1)
        told, _ = await begun(server)
        broken, _ = await begun(server)
        stopping = asyncio.create_task(server.stop())
        while (await frame(broken))[0] != 1:  # `drain`
            pass
        broken.close(reset=True)
        assert await code_of(told) == 1012
        told.close()
        await stopping
        assert server.streams == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [None, 1000, 1001, 1003, 1011, 1012, 3000, 4000, 4404, 4999])
async def test_a_close_by_the_client_ends_the_stream(code):
    async with serving() as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server)
        await client.send(masked(8, b"" if code is None else code.to_bytes(2, "big")))
        assert await code_of(client) == (code or 0)  # the answer
        assert (await end_of(server.url, [resume(session)]))[0] == 4404
        client.close()
        await until(lambda: not server.streams)
        assert server.sessions.parked == 0
        assert (await end_of(server.url, [resume(session)]))[0] == 4404


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["reset", "no more is sent", "closed without a word", "a torn message", "not read"])
async def test_a_lost_connection_can_be_resumed(how):
    """With all codes as of an unbroken run."""
    async with serving(send_timeout=DEADLINE) as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server)
        rest, taken = int16(noise(5 * HOP + 3)), len(PCM)
        if how == "reset":
            client.close(reset=True)
        elif how == "no more is sent":
            client.socket.shutdown(socket.SHUT_WR)
        elif how == "closed without a word":
            client.close()
        elif how == "a torn message":
            await client.message(packet(1, len(PCM), bytes(1000)), keep=300)
            client.close()
        else:
            (connection,) = server._connections.values()
            connection._waits.sending_since = -1e9  # as if a message had waited since then
        await until(lambda: server.sessions.parked)
        async with raw(server, resume(session)) as again:
            assert again.texts[0] == {"type": "resumed", "pos": taken, "next_frame": FRAMES}
            again.pos, again.codes = taken, [np.zeros((FRAMES, 3), np.uint16)]
            await again.send(rest)
            await again.ws.send('{"type":"stop"}')
            await again.hear()
            assert again.ws.close_code == 1000
        client.close()
        whole = CAUSAL.encode(np.concatenate([PCM, rest]))
        assert np.array_equal(np.concatenate(again.codes)[FRAMES:].T, whole[:, FRAMES:])


@pytest.mark.asyncio
@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells")
@pytest.mark.parametrize("who", ["the client", "the transport"])
async def test_a_loss_is_noticed_while_nothing_is_read_or_sent(monkeypatch, who):
    """Nothing is computed: what has come fills the queue, and no more is read."""
    async with serving() as server, asyncio.timeout(PATIENCE):
        monkeypatch.setattr(server.scheduler, "feed", lambda lane, data: lane.put(data, 0.0))
        client = RawClient(server.port)
        await client.handshake()
        await client.message(start())
        for number in range(8):
            await client.message(packet(number, number * 8000, bytes(16_000)))
        await until(lambda: all(session.stream.full for session in server.sessions._all.values()) and server.streams)
        if who == "the client":
            client.close(reset=True)
        else:  # as where sending fails
            (connection,) = server._connections
            connection.transport.abort()
        await until(lambda: server.sessions.parked and not server.streams)
        client.close()


@pytest.mark.asyncio
async def test_a_connection_whose_session_was_taken_over_ends_nothing():
    async with serving() as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server)
        async with raw(server, resume(session)) as again:
            client.close()
            await until(lambda: server.connections == 1)
            again.pos, again.codes = len(PCM), [np.zeros((FRAMES, 3), np.uint16)]
            await again.send(PCM)
            await again.hear(2 * FRAMES)
            assert server.streams == 1


@pytest.mark.asyncio
async def test_another_token_gets_neither_a_parked_nor_an_open_nor_an_ended_session():
    async with serving(tokens=("mine", "yours"), close_timeout=PATIENCE, stop_timeout=DEADLINE) as server:
        client, session = await begun(server, token="mine")
        assert (await end_of(server.url, [resume(session, token="yours")]))[0] == 4404
        client.close(reset=True)
        await until(lambda: server.sessions.parked)
        assert (await end_of(server.url, [resume(session, token="yours")]))[0] == 4404
        async with raw(server, resume(session, token="mine")) as again:
            assert again.texts[0]["type"] == "resumed"


@pytest.mark.asyncio
async def test_nobody_ends_the_others_parked_streams():
    """With many streams of their own, opened and aborted, empty or not."""
    async with serving(max_parked=4, tokens=("mine", "yours")) as server, asyncio.timeout(PATIENCE):
        client, session = await begun(server, token="mine")
        client.close(reset=True)
        await until(lambda: server.sessions.parked == 1)
        for number in range(8):
            if number % 2:
                other, _ = await begun(server, token="yours")
            else:
                other = RawClient(server.port)
                await other.handshake()
                await other.message(start(token="mine"))
                await frame(other)
            other.close(reset=True)
            await until(lambda: not server.streams)
        assert server.sessions.parked == 4
        async with raw(server, resume(session, token="mine")) as again:
            assert again.texts[0]["type"] == "resumed"
