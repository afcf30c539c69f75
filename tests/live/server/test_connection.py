"""A connection without a server: what it is given (`Services`) and a socket are enough."""

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError

from streamrvq.errors import ProtocolError
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.protocol.text import parse
from streamrvq.live.server.connection import Connection
from streamrvq.live.server.metrics import Metrics
from streamrvq.live.server.modes import open_stream
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.server.services import Services
from streamrvq.live.server.sessions import Sessions
from streamrvq.live.server.settings import ServerSettings
from streamrvq.live.worker import Worker
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, HOP, int16, packet, start


class Socket:
    """An open websocket in memory: messages to be received, and what was sent."""

    def __init__(self, messages):
        self.subprotocol, self.remote_address = SUBPROTOCOL, ("127.0.0.1", 1)
        self.request = SimpleNamespace(headers=Headers())
        self.transport = SimpleNamespace(abort=lambda: None)
        self.protocol = SimpleNamespace(close_rcvd=None, close_sent=None, close_rcvd_then_sent=None)
        self.messages, self.sent, self.close_code = list(messages), [], None
        self.closed = asyncio.Event()
        self.spend, self.counts, self.reset = (lambda seconds: None), (lambda: True), False
        self.intake = SimpleNamespace(earn=lambda seconds: None, was_beyond=False)

    async def recv(self):
        if self.messages:
            message = self.messages.pop(0)
            if message is ConnectionClosedError:
                self.close_code = 1006
                raise ConnectionClosedError(None, None)
            return message
        await self.closed.wait()
        raise ConnectionClosedError(None, None)

    async def send(self, data):
        self.sent.append(data)

    async def close(self, code, reason):
        self.close_code = int(code)
        self.closed.set()

    @property
    def texts(self):
        return [json.loads(data) for data in self.sent if isinstance(data, str)]


@asynccontextmanager
async def services_of(codec, **settings):
    """The parts that connections share, made without a server."""
    worker = Worker("test-step")
    metrics = Metrics(codec.hop_length / codec.sample_rate, dict)
    scheduler = Scheduler(codec, worker, 4, {"encode": 8, "decode": 8})
    sessions = Sessions(2, 2, 30.0, metrics.stream_ended)
    running = asyncio.create_task(scheduler.run())
    try:
        yield Services(codec, ServerSettings(**settings), scheduler, sessions, metrics)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await worker.close()


@pytest.mark.asyncio
async def test_a_stream_from_start_to_done():
    pcm = int16(noise(10 * HOP + 7))
    socket = Socket([start(), packet(payload=pcm.tobytes()), '{"type":"stop"}'])
    async with asyncio.timeout(PATIENCE), services_of(CAUSAL) as services:
        await Connection(services, socket, 1).run()
        assert services.sessions.open == services.sessions.parked == 0
        assert b'streamrvq_closed_total{code="1000"} 1.0' in services.metrics.text()
    assert [text["type"] for text in socket.texts] == ["ready", "done"]
    assert socket.close_code == 1000
    frames = [np.frombuffer(data[16:], "<u2").reshape(-1, 3) for data in socket.sent if isinstance(data, bytes)]
    assert np.array_equal(np.concatenate(frames).T, CAUSAL.encode(pcm))


@pytest.mark.asyncio
async def test_a_lost_connection_parks_its_session_and_another_resumes_it():
    pcm = int16(noise(10 * HOP))
    lost = Socket([start(), packet(payload=pcm[: 5 * HOP].tobytes()), ConnectionClosedError])
    async with asyncio.timeout(PATIENCE), services_of(CAUSAL) as services:
        await Connection(services, lost, 1).run()
        assert (services.sessions.open, services.sessions.parked) == (0, 1)
        resume = {"type": "resume", "version": 1, "session": lost.texts[0]["session"], "next_frame": 0}
        rest = packet(pos=5 * HOP, payload=pcm[5 * HOP :].tobytes(), flags=1)
        again = Socket([json.dumps(resume), rest])
        await Connection(services, again, 2).run()
        assert services.metrics.resumed == 1
    assert [text["type"] for text in again.texts] == ["resumed", "done"]
    frames = [np.frombuffer(data[16:], "<u2").reshape(-1, 3) for data in again.sent if isinstance(data, bytes)]
    assert np.array_equal(np.concatenate(frames).T, CAUSAL.encode(pcm))


@pytest.mark.asyncio
async def test_a_wrong_token_ends_with_its_reason():
    socket = Socket([start(token="wrong")])
    async with asyncio.timeout(PATIENCE), services_of(CAUSAL, tokens=("right",)) as services:
        await Connection(services, socket, 1).run()
    assert socket.close_code == 4401
    assert [(text["type"], text["code"]) for text in socket.texts] == [("error", 4401)]


@pytest.mark.asyncio
@pytest.mark.parametrize("before", [("old",), ()], ids=["replaced", "none"])
async def test_a_token_of_the_header_counts_when_the_start_comes(before):
    """Who shows a token and then waits must not get in with it after it was withdrawn."""
    socket, asked, start_comes = Socket([start()]), asyncio.Event(), asyncio.Event()
    socket.request.headers["Authorization"] = "Bearer old"
    recv = socket.recv

    async def recv_late():
        asked.set()
        await start_comes.wait()
        return await recv()

    socket.recv = recv_late
    async with asyncio.timeout(PATIENCE), services_of(CAUSAL, tokens=before) as services:
        running = asyncio.create_task(Connection(services, socket, 1).run())
        await asked.wait()
        services.settings = ServerSettings(tokens=("new",))
        start_comes.set()
        await running
    assert socket.close_code == 4401
    assert [(text["type"], text["code"]) for text in socket.texts] == [("error", 4401)]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("mode", "bad"),
    [("encode", packet(1, HOP, np.full(HOP, np.nan, "<f4").tobytes())),
     ("encode", packet(1, HOP, np.full(HOP, 200, "<f4").tobytes(), flags=1)),
     ("encode", packet(1, HOP, bytes(7))), ("encode", '{"type":"gap","pos":9,"samples":5}'),
     ("decode", packet(1, HOP, np.full(6, 64, "<u2").tobytes(), kind=2, codebooks=3)),
     ("decode", '{"type":"gap","pos":64,"samples":5}')],
    ids=["nan", "loud", "half a sample", "gap", "code", "gap of codes"],
)  # fmt: skip
async def test_a_refused_message_leaves_the_stream_as_it_was(mode, bad):
    """Another connection may take it over before the one that sent this is closed."""
    pcm, codes = noise(2 * HOP), np.arange(6 * HOP).reshape(3, -1) % 64
    whole = codes.T.astype("<u2") if mode == "decode" else pcm.astype("<f4")
    kind, levels = (2, 3) if mode == "decode" else (1, 0)
    async with asyncio.timeout(PATIENCE), services_of(CAUSAL) as services:
        first = parse(start(mode=mode, format="f32le"), "client")
        stream, changed = open_stream(CAUSAL, services.scheduler, first, 1 << 15), asyncio.Event()
        stream.on_change = changed.set
        stream.receive(packet(0, 0, whole[:HOP].tobytes(), kind=kind, codebooks=levels))
        with pytest.raises(ProtocolError):
            stream.receive(bad)
        stream.receive(packet(1, HOP, whole[HOP:].tobytes(), kind=kind, codebooks=levels, flags=1))
        texts = []
        while not stream.outbox.done:
            message = stream.next_message()
            if message is None:
                changed.clear()
                await changed.wait()
            elif isinstance(message, str):
                texts.append(message)
    done = parse(texts[-1], "server")
    assert (done.frames, done.samples) == ((2, 2 * HOP) if mode == "encode" else (2 * HOP, 2 * HOP * HOP))
