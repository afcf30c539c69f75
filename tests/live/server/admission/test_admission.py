"""Whoever has the token gets in, whatever those without one do; and they cost little."""

import asyncio
import gc
import json
import logging
import socket as sockets
import time

import pytest

from streamrvq.live.server import server as server_module
from streamrvq.live.server.admission.admission import Admission
from streamrvq.live.server.scheduling.warmup import Capacity
from tests.support.hostile.hog import KINDS, hogging, periods
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.service import RawClient, connect_raw, end_of, serving, start, until
from tests.support.shell import nothing_left

STOP = json.dumps({"type": "stop"})
TOKEN = {"additional_headers": {"Authorization": "Bearer secret"}}
MIXTURE = sorted(KINDS)
PLACES, HOGS = 64, 128
EVENTS = ("connected", "started", "closed")


def few(**settings):
    """A server with a token and few places for those who have none."""
    return serving(**{"tokens": ("secret",), "max_unauthenticated": PLACES, **settings})


async def ends_of_20(url, messages, **options):
    """Close codes of 20 clients, four at a time: each waits until those who came before it have had their turn."""
    at_once = asyncio.Semaphore(4)

    async def one():
        async with at_once:
            return (await end_of(url, messages, **options))[0]

    return await asyncio.gather(*(one() for _ in range(20)))


@pytest.fixture(autouse=True)
def no_traceback(caplog):
    caplog.set_level(logging.INFO)
    yield
    for record in caplog.records:
        assert record.exc_info is None, record
        assert record.levelno < logging.ERROR, record


@pytest.mark.asyncio
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), MIXTURE], ids=str)
async def test_a_token_in_the_handshake_gets_in_20_of_20(kinds, caplog):
    with nothing_left():
        began = time.monotonic()
        async with few() as server:
            async with hogging(server.port, kinds, count=HOGS):
                ends = await ends_of_20(server.url, [start(), STOP], **TOKEN)
            await until(lambda: server.connections == server.streams == 0)
        repeats = periods(began)
        gc.collect()
    assert ends == [1000] * 20
    events = [(getattr(record, "event", ""), record) for record in caplog.records]
    of_others = [event for event, _ in events if event not in EVENTS]
    ended = [record for event, record in events if event == "closed" and not record.fields.get("audio_seconds")]
    assert len(of_others) < 40 * repeats
    assert len(ended) < 20 + 40 * repeats


@pytest.mark.asyncio
@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), MIXTURE], ids=str)
async def test_a_token_in_the_start_message_gets_in_20_of_20(kinds):
    """While every place is taken by others who wait, too."""
    async with few() as server, hogging(server.port, kinds, count=HOGS, again=False):
        ends = await ends_of_20(server.url, [start(token="secret"), STOP])
    assert ends == [1000] * 20


@pytest.mark.asyncio
async def test_a_token_gets_in_over_tls(tls):
    chain, key, trusted = tls
    async with few(tls_certificate=chain, tls_key=key) as server, hogging(server.port, MIXTURE, count=HOGS):
        ends = await ends_of_20(server.url, [start(), STOP], ssl=trusted, **TOKEN)
    assert ends == [1000] * 20


@pytest.mark.asyncio
async def test_places_are_bounded_in_each_stage():
    async with few() as server:
        async with hogging(server.port, ["silent"], count=HOGS, again=False):
            await until(lambda: server.metrics._refusals["room"] == HOGS - PLACES)
            assert server.connections == PLACES
        async with hogging(server.port, ["no start"], count=HOGS, again=False):
            await until(lambda: server.metrics._refusals["room"] == 2 * (HOGS - PLACES))
            await asyncio.sleep(0)  # who had to go last is gone in the next round of the loop
            assert server.connections == PLACES
        await until(lambda: server.connections == 0)


@pytest.mark.asyncio
async def test_who_has_to_go_is_told():
    async with few(max_unauthenticated=1) as server:
        first = asyncio.create_task(end_of(server.url, []))
        await until(lambda: server.connections == 1 and server._admission._unauthenticated)
        async with connect_raw(server.url, subprotocols=["streamrvq.v1"]):
            code, texts = await first
        assert code == 1013
        assert texts[0]["code"] == 1013
        assert "send the token sooner" in texts[0]["message"]
        assert b'streamrvq_refusals_total{reason="room"} 1.0' in server.metrics.text()


@pytest.mark.asyncio
async def test_the_log_names_the_address_of_who_has_to_go(caplog):
    async with few(max_unauthenticated=1) as server:
        first = asyncio.create_task(end_of(server.url, []))
        await until(lambda: server.connections == 1 and server._admission._unauthenticated)
        (connection,) = server._admission._unauthenticated
        connection.log.group = "192.0.2.1"
        async with connect_raw(server.url, subprotocols=["streamrvq.v1"]):
            await first
    refused = [record.fields for record in caplog.records if getattr(record, "event", "") == "refused"]
    assert [fields["of"] for fields in refused] == ["192.0.2.1"]


@pytest.mark.asyncio
async def test_one_address_may_have_fewer_places():
    async with few(max_unauthenticated_of_one=3) as server, hogging(server.port, ["silent"], count=PLACES, again=False):
        await until(lambda: server.metrics._refusals["room"] == PLACES - 3)
        assert server.connections == 3


@pytest.mark.asyncio
async def test_those_who_have_authenticated_do_not_have_to_go():
    async with (
        few(start_timeout=PATIENCE) as server,
        connect_raw(server.url, subprotocols=["streamrvq.v1"], **TOKEN) as good,
        hogging(server.port, MIXTURE, count=HOGS),
    ):
        await until(lambda: server.metrics._refusals["room"] >= 2 * PLACES)
        await good.send(start())
        assert json.loads(await good.recv())["type"] == "ready"


@pytest.mark.asyncio
async def test_a_full_server_refuses_a_token_where_it_comes_from():
    async with few(max_connections=1) as server, connect_raw(server.url, subprotocols=["streamrvq.v1"], **TOKEN):
        for messages, options in (([], TOKEN), ([start(token="secret")], {})):
            code, texts = await end_of(server.url, messages, **options)
            assert (code, texts[0]["code"]) == (1013, 1013)
            assert "all 1 connections" in texts[0]["message"]
        assert (await end_of(server.url, [start(token="wrong")]))[0] == 4401
        assert server.metrics._refusals["full"] == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(("streams", "connections"), [(3, 256), (300, 600)])
async def test_whoever_has_a_stream_may_also_connect(monkeypatch, streams, connections):
    """Nobody said how many streams: a GPU may have been measured to compute more than there are connections else."""
    monkeypatch.setattr(server_module, "warm_up", lambda *_: Capacity({"encode": 8, "decode": 8}, streams))
    async with few(max_streams=None) as server:
        assert server.max_streams == streams
        assert server._admission._room.authenticated == connections


@pytest.mark.asyncio
async def test_a_request_has_its_time():
    """From accept to its last byte, however slowly it comes."""
    async with few(start_timeout=DEADLINE) as server:
        slow, silent = RawClient(server.port), RawClient(server.port)
        await slow.send(b"GET / HTTP/1.1\r\nA: ")

        async def drip():
            while True:
                await slow.send(b"x")
                await asyncio.sleep(DEADLINE / 10)

        dripping = asyncio.create_task(drip())
        await until(lambda: server.metrics._refusals["no_request"] == 2 or dripping.done())
        await until(lambda: server.connections == 0)
        dripping.cancel()
        await asyncio.wait([dripping])
        for client in (slow, silent):
            client.close()


@pytest.mark.asyncio
async def test_a_head_comes_in_a_bounded_number_of_pieces():
    async with few() as server:
        client, loop = RawClient(server.port), asyncio.get_running_loop()
        with pytest.raises(OSError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await client.send(b"A")
                    await asyncio.sleep(0.002)
        await until(lambda: server.connections == 0)
        client.close()
        whole = RawClient(server.port)
        for piece in (b"GET /health HT", b"TP/1.1\r\nHost: x", b"\r\n\r", b"\n"):
            await whole.send(piece)
            await asyncio.sleep(0.01)
        assert (await loop.sock_recv(whole.socket, 100)).startswith(b"HTTP/1.1 200")
        whole.close()


@pytest.mark.asyncio
async def test_small_packets_are_sent_at_once():
    """Nothing may wait for the answer to what was sent before it."""
    async with serving() as server, connect_raw(server.url, subprotocols=["streamrvq.v1"]):
        await until(lambda: server._connections)
        (connection,) = server._connections
        socket = connection.transport.get_extra_info("socket")
        assert socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY)


@pytest.mark.asyncio
@pytest.mark.parametrize("token", ["secret", "wrong"])
async def test_requests_that_are_completed_at_once_are_answered_in_turns(token, monkeypatch):
    """Those with a token, too: each takes time, and whoever holds back the last bytes decides when."""
    answered, last = [0], KINDS["no start"][:-2] + f"Authorization: Bearer {token}\r\n\r\n".encode()
    answer = Admission._answer

    def counted(self, arrival):
        answered[-1] += 1
        answer(self, arrival)

    async def rounds():
        while True:
            await asyncio.sleep(0)
            answered.append(0)

    monkeypatch.setattr(Admission, "_answer", counted)
    async with few() as server:
        clients = [RawClient(server.port) for _ in range(32)]
        for client in clients:
            await client.send(last[:-1])
        await until(lambda: len(server._admission.listener) == len(clients))
        counting = asyncio.create_task(rounds())
        for client in clients:
            client.socket.send(last[-1:])
        await until(lambda: sum(answered) == len(clients))
        counting.cancel()
        for client in clients:
            client.close()
        await until(lambda: not server.connections)
    assert max(answered) <= 3


@pytest.mark.asyncio
async def test_those_of_one_token_wait_in_bounds_and_beside_those_of_another():
    """Nobody can be let in for now. Of one token half of the places may wait, the newest; then tokens take turns."""
    handshake = (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: streamrvq.v1\r\nAuthorization: Bearer {}\r\n\r\n"
    )
    with nothing_left():
        async with few(tokens=("secret", "other"), max_unauthenticated=8) as server, asyncio.timeout(PATIENCE):
            listener, let_in = server._admission.listener, []
            listener.with_token.hold = lambda: 0.001
            answer = listener._answer
            listener._answer = lambda arrival: (let_in.append(b"secret" in arrival.head), answer(arrival))
            clients = [RawClient(server.port) for _ in range(12)]
            for number, client in enumerate(clients):
                await client.send(handshake.format("other").encode())
                await until(lambda number=number: len(listener._admitting) == min(number + 1, 4))
            honest = RawClient(server.port)
            await honest.send(handshake.format("secret").encode())
            await until(lambda: len(listener._admitting) == 5)
            assert len(listener) == 5
            clients[-1].close(reset=True)  # it has gone before its turn: it is not answered
            listener.with_token.hold = float
            await until(lambda: len(let_in) == 4 and not listener._admitting)
            assert let_in.index(True) <= 1
            assert sorted(let_in) == [False, False, False, True]
            for client in (*clients[:-1], honest):
                client.close()
            await until(lambda: not server.connections)
