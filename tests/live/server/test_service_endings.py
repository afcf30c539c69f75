"""The server ends a connection: clients that never read, shutdown, failures of the codec, a loop that never waits."""

import asyncio
import contextlib
import gc
import json
import logging
import threading

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

import streamrvq
from streamrvq import ServiceError
from streamrvq.live.server import transport
from streamrvq.streaming.pool import StreamPool
from tests.support.contract import noise
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.plain_client import raw
from tests.support.service import CAUSAL, RATE, RawClient, connect_raw, end_of, int16, packet, serving, start, until
from tests.support.shell import nothing_left

PCM = noise(2 * RATE)


async def paced(server, pcm=PCM):
    """A good client at real-time pace; True if it got the codes."""

    async def blocks():
        for i in range(0, len(pcm), 320):
            await asyncio.sleep(0.02)
            yield pcm[i : i + 320]

    async with streamrvq.connect(server.url) as stream:
        stream.feed(blocks())
        got = np.concatenate([item.codes async for item in stream], axis=1)
    return np.array_equal(got, CAUSAL.encode(pcm))


async def never_read(port, messages=None):
    """Send codes to be decoded, and never read; until the server cuts the connection or the messages are sent."""
    client = RawClient(port, receive_buffer=4096)
    try:
        await client.handshake(read=False)
        await client.message(start(mode="decode", sample_rate=192_000, format="f32le"))
        codes = np.zeros(3 * 40, "<u2").tobytes()
        for seq in range(messages or 10**6):
            await client.message(packet(seq, seq * 40, codes, kind=2, codebooks=3))
            await asyncio.sleep(0)
        return client
    except (ConnectionError, OSError):
        client.close()
        return None


@pytest.mark.asyncio
async def test_a_client_that_never_reads_is_gone_and_the_others_do_not_notice(caplog):
    caplog.set_level(logging.INFO, "streamrvq.server")
    with nothing_left():
        async with serving(send_timeout=DEADLINE) as server:
            async with asyncio.timeout(PATIENCE):
                stuck, good = await asyncio.gather(never_read(server.port), paced(server))
            assert stuck is None
            assert good
            await until(lambda: server.streams == server.connections == 0)
        gc.collect()
    assert f"it took nothing for {DEADLINE:g} s" in caplog.text


async def ping(server, times, read):
    """Send ``times`` pings, their answers read or not, until the server cuts the connection."""
    client, loop = RawClient(server.port, receive_buffer=4096), asyncio.get_running_loop()
    await client.handshake(read=False)
    await until(lambda: server.connections)
    with contextlib.suppress(OSError):
        async with asyncio.timeout(PATIENCE):
            await client.send((bytes([0x89, 0xFD]) + bytes(4) + bytes(125)) * times)
            while read and await loop.sock_recv(client.socket, 1 << 16):
                pass
            await until(lambda: not server.connections)
    client.close()


@pytest.mark.asyncio
async def test_a_flood_of_pings_is_cut(caplog):
    async with serving() as server:
        await ping(server, 6000, read=True)
        await until(lambda: "a flood of pings" in caplog.text)  # on uvloop the client may know of its end before
        assert await paced(server, PCM[:1000])


@pytest.mark.asyncio
async def test_pings_whose_answers_are_not_read_are_cut(caplog, monkeypatch):
    """websockets answers pings without regard to its own limits."""
    monkeypatch.setattr("streamrvq.live.server.server.MAX_UNSENT_BYTES", 10_000)
    monkeypatch.setattr(transport, "SEND_BUFFER_BYTES", 4096)
    async with serving() as server:
        await ping(server, 900, read=False)
        assert "answers not read" in caplog.text
        assert await paced(server, PCM[:1000])


@pytest.mark.asyncio
async def test_stop_flushes_says_1012_and_cuts_who_does_not_read():
    with nothing_left():
        async with serving(send_timeout=10 * PATIENCE, stop_timeout=2 * DEADLINE) as server:
            stuck = asyncio.create_task(never_read(server.port))
            half = RawClient(server.port)  # in its handshake
            await half.send(b"GET / HTTP")
            silent = RawClient(server.port)  # never starts
            await silent.handshake()
            stream = streamrvq.connect(server.url)
            async with contextlib.AsyncExitStack() as stack:
                with pytest.raises(ServiceError) as refusal:
                    await stack.enter_async_context(stream)
                    await stream.send(PCM[:1001])
                    items = [await anext(stream)]
                    while items[-1].index + items[-1].codes.shape[1] < 15:
                        items.append(await anext(stream))
                    # the one that does not read has filled every buffer: nothing of it comes any more
                    await until(
                        lambda: any(socket.transport.get_write_buffer_size() > 30_000 for socket in server._connections)
                    )
                    async with asyncio.timeout(PATIENCE):
                        await server.stop()
                    async for item in stream:
                        items.append(item)
            assert np.array_equal(np.concatenate([item.codes for item in items], axis=1), CAUSAL.encode(PCM[:1001]))
            assert refusal.value.code == 1012
            assert await asyncio.wait_for(stuck, PATIENCE) is None
            for client in (half, silent):
                client.close()
            assert server.streams == server.connections == 0
            await server.stop()  # again is harmless
        gc.collect()


@pytest.mark.asyncio
async def test_what_was_received_is_encoded_before_1012():
    pcm = int16(PCM[:1000])
    async with serving() as server:
        url = server.url
        came, texts = [], []
        async with connect_raw(url, subprotocols=["streamrvq.v1"], compression=None) as ws:
            await ws.send(start())
            await ws.send(packet(payload=pcm.tobytes()))
            await ws.send(json.dumps({"type": "marker", "id": 1}))
            stopping = None
            try:
                while True:
                    data = await ws.recv()
                    (texts if isinstance(data, str) else came).append(data)
                    if stopping is None and came:
                        stopping = asyncio.create_task(server.stop())
            except ConnectionClosed:
                pass
            await stopping
        codes = np.concatenate([np.frombuffer(data[16:], "<u2").reshape(-1, 3) for data in came]).T
    assert np.array_equal(codes, CAUSAL.encode(pcm))
    assert ws.close_code == 1012
    kinds = [json.loads(text)["type"] for text in texts]
    assert kinds == ["ready", "drain", "marker", "error"]


@pytest.mark.asyncio
async def test_a_failing_codec_is_the_servers_fault_and_nobody_elses(caplog, monkeypatch):
    honest = StreamPool.feed_checked

    def feed(self, stream, pcm):
        if len(pcm) == 77:
            raise MemoryError("inner workings")
        honest(self, stream, pcm)

    monkeypatch.setattr(StreamPool, "feed_checked", feed)
    async with serving() as server:
        (code, texts), good = await asyncio.gather(
            end_of(server.url, [start(), packet(payload=bytes(154))]), paced(server, PCM[:4000])
        )
        assert good
        assert code == 1011
        assert "inner" not in texts[-1]["message"]
        await until(lambda: server.streams == 0)
    assert "inner workings" in caplog.text  # where the server's operator finds it


@pytest.mark.asyncio
async def test_the_loop_goes_on_while_a_step_computes(monkeypatch):
    """A step that does not return holds up streams, and nothing else: handshakes, refusals, pings."""
    go, reached = threading.Event(), threading.Event()
    honest, threads = StreamPool.feed_checked, set()

    def feed(self, stream, pcm):
        threads.add(threading.current_thread().name)
        reached.set()
        assert go.wait(PATIENCE)
        honest(self, stream, pcm)

    monkeypatch.setattr(StreamPool, "feed_checked", feed)
    async with serving(tokens=("t",)) as server, streamrvq.connect(server.url, token="t") as stream:
        await stream.send(PCM[:640])
        await until(reached.is_set)
        async with asyncio.timeout(PATIENCE):
            assert (await end_of(server.url, [start()]))[0] == 4401
            await (await stream._connection._current._socket.ping())
        go.set()
        assert (await anext(stream)).index == 0
    assert len(threads) == 1
    assert threads.pop().startswith("streamrvq-step")


@pytest.mark.asyncio
async def test_a_slow_reader_gets_everything():
    pcm = PCM[:RATE]
    async with serving() as server, streamrvq.connect(server.url, "decode", sample_rate=96_000, queue_size=1) as stream:
        codes = CAUSAL.encode(pcm)
        stream.feed([codes])
        parts = []
        async for part in stream:
            parts.append(part)
            await asyncio.sleep(0.01)
    assert sum(map(len, parts)) == stream.done.samples == 6 * 64 * codes.shape[1]


@pytest.mark.asyncio
async def test_a_server_that_goes_away_is_an_error_with_its_code():
    """A peer that accepts and then drops the connection without a word."""

    async def drop(reader, writer):
        await reader.read(10)
        writer.transport.abort()

    listening = await asyncio.start_server(drop, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        with pytest.raises(ServiceError, match="cannot connect"):
            await streamrvq.connect(f"ws://127.0.0.1:{port}").__aenter__()
    with nothing_left():
        async with serving() as server:
            stream = streamrvq.connect(server.url, resume=0)
            with pytest.raises(ServiceError, match="ended before the stream did") as broken:
                async with stream:
                    for socket in server._connections:
                        socket.transport.abort()
                    async for _ in stream:
                        pass
            assert broken.value.code == 1006
        gc.collect()


@pytest.mark.asyncio
async def test_a_stop_that_is_cancelled_leaves_nothing_either():
    """Leaving `async with` may be cancelled, too."""
    with nothing_left():
        server = serving()
        await server.__aenter__()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping


@pytest.mark.asyncio
async def test_an_ended_stream_gives_its_place_to_another_before_its_client_answers():
    async with serving(max_streams=1, close_timeout=PATIENCE) as server, asyncio.timeout(PATIENCE):
        client = RawClient(server.port)
        await client.handshake()
        for _ in range(2):  # the second one is an error
            await client.message(start())
        heard = b""
        while b'"error"' not in heard:
            heard += await asyncio.get_running_loop().sock_recv(client.socket, 4096)
        async with streamrvq.connect(server.url) as stream:
            await stream.send(PCM)
            await stream.stop()
            frames = [item.codes async for item in stream if hasattr(item, "codes")]
        assert np.array_equal(np.concatenate(frames, 1), CAUSAL.encode(PCM))
        assert len(server._connections) >= 1  # the one that did not answer
        client.close()


@pytest.mark.asyncio
async def test_a_close_by_the_server_counts_though_a_reset_is_noticed_first(monkeypatch):
    """On a busy machine. Its stream has ended, and is not parked as one whose connection was lost."""
    async with serving(close_timeout=PATIENCE, stop_timeout=DEADLINE) as server, asyncio.timeout(PATIENCE):
        async with raw(server, start()) as client:
            session = client.texts[0]["session"]
            ((socket, connection),) = server._connections.items()
            socket.protocol.fail(1009, "too many fragments")
            monkeypatch.setattr(type(socket), "reset", property(lambda self: True))
            connection.check_deadlines(asyncio.get_running_loop().time())
            await until(lambda: server.connections == server.streams == 0)
        assert server.sessions.parked == 0
        monkeypatch.undo()
        resume = json.dumps({"type": "resume", "version": 1, "session": session, "next_frame": 0})
        assert (await end_of(server.url, [resume]))[0] == 4404
