"""Whatever a client does, it gets the documented close code, the log no traceback, and the others their codes."""

import asyncio
import gc
import json
import logging

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

import streamrvq
from streamrvq.live.protocol.constants import MAX_MESSAGE, Close
from tests.support.contract import noise
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.service import CAUSAL, RawClient, connect_raw, end_of, no_refill, packet, serving, start, until
from tests.support.shell import nothing_left

PCM = noise(500)
GOOD = np.zeros(100, "<i2").tobytes()
F32 = start(format="f32le")
DECODE = start(mode="decode")
CODES = np.zeros(30, "<u2").tobytes()


def codes(values=CODES, codebooks=3, **fields):
    return packet(payload=values, kind=2, codebooks=codebooks, **fields)


def floats(*values):
    return packet(payload=np.array(values, "<f4").tobytes())


def text(**fields):
    return json.dumps(fields)


#: What is sent, and the close code that answers it.
CASES = {
    "not json": (["{"], 4400),
    "not an object": (["[1]"], 4400),
    "deep json": (["[" * 4000], 4400),
    "deep objects": (['{"a":' * 800], 4400),
    "huge json": ([text(type="start", pad="x" * 10_000)], 1009),
    "huge number": (['{"type":"start","version":1,"mode":"encode","sample_rate":' + "9" * 4000 + "}"], 4415),
    "duplicate of another kind": ([text(type="done", frames=0, samples=0)], 4400),
    "no type": (["{}"], 4400),
    "empty text": ([""], 4400),
    "binary before start": ([packet(payload=GOOD)], 4400),
    "stop before start": ([text(type="stop")], 4400),
    "start twice": ([start(), start()], 4400),
    "unknown field": ([start(sample_reat=8000)], 4400),
    "version 2": ([start(version=2)], 4406),
    "no version": ([start(version=...)], 4406),
    "unknown mode": ([start(mode="transcode")], 4415),
    "unknown format": ([start(format="mp3")], 4415),
    "rate too low": ([start(sample_rate=4000)], 4415),
    "rate too high": ([start(sample_rate=10**9)], 4415),
    "rate as text": ([start(sample_rate="44100")], 4415),
    "two channels": ([start(channels=2)], 4415),
    "too many levels": ([start(n_quantizers=4)], 4415),
    "set too many levels": ([start(), text(type="set", n_quantizers=4)], 4415),
    "set no levels": ([start(), text(type="set", n_quantizers=0)], 4415),
    "set when decoding": ([DECODE, text(type="set", n_quantizers=1)], 4400),
    "gap when decoding": ([DECODE, text(type="gap", pos=0, samples=5)], 4400),
    "gap elsewhere": ([start(), text(type="gap", pos=7, samples=5)], 4400),
    "gap of nothing": ([start(), text(type="gap", pos=0, samples=0)], 4400),
    "resume of nothing": ([text(type="resume", version=1, session="0" * 32, next_frame=0)], 4404),
    "resume in a stream": ([start(), text(type="resume", version=1, session="0" * 32, next_frame=0)], 4400),
    "header cut": ([start(), b"\1\0\0"], 4400),
    "empty binary": ([start(), b""], 4400),
    "unknown kind": ([start(), packet(payload=GOOD, kind=9)], 4400),
    "unknown flags": ([start(), packet(payload=GOOD, flags=6)], 4400),
    "codes to an encoder": ([start(), codes()], 4400),
    "pcm to a decoder": ([DECODE, packet(payload=GOOD)], 4400),
    "codebooks in pcm": ([start(), packet(payload=GOOD, codebooks=3)], 4400),
    "half a sample": ([start(), packet(payload=GOOD + b"x")], 4400),
    "half a float": ([F32, packet(payload=b"abcdef")], 4400),
    "nan": ([F32, floats(0, float("nan"))], 4400),
    "infinity": ([F32, floats(float("inf"))], 4400),
    "integers as floats": ([F32, floats(20_000)], 4400),
    "seq jumps": ([start(), packet(payload=GOOD), packet(2, 100, GOOD)], 4400),
    "seq repeats": ([start(), packet(payload=GOOD), packet(0, 100, GOOD)], 4400),
    "pos jumps": ([start(), packet(payload=GOOD), packet(1, 101, GOOD)], 4400),
    "huge pos": ([start(), packet(pos=2**64 - 1, payload=GOOD)], 4400),
    "code out of range": ([DECODE, codes(np.full(30, 64, "<u2").tobytes())], 4400),
    "code far out of range": ([DECODE, codes(np.full(30, 65535, "<u2").tobytes())], 4400),
    "too many codebooks": ([DECODE, codes(np.zeros(40, "<u2").tobytes(), 4)], 4400),
    "no codebooks": ([DECODE, codes(codebooks=0)], 4400),
    "other codebooks than agreed": ([start(mode="decode", n_quantizers=2), codes()], 4400),
    "half a frame": ([DECODE, codes(CODES[:-2])], 4400),
    "too big": ([start(), packet(payload=bytes(MAX_MESSAGE))], 1009),
    "fragments too big in sum": ([start(), [bytes(1000)] * 100], 1009),
    "bomb of empty fragments": ([start(), [b""] * 6000], 1009),
    "flood of empty messages": ([start(), *(packet(seq=i) for i in range(6000))], 4429),
    "flood of single samples": ([start(), *(packet(i, i, b"ab") for i in range(6000))], 4429),
    "flood of markers": ([start(), *(text(type="marker", id=i) for i in range(6000))], 4429),
    "waiting markers": ([start(), packet(payload=GOOD), *([text(type="marker", id=1)] * 65)], 4429),
    "marker id of a kind": ([start(), text(type="marker", id=[1])], 4400),
    "long marker id": ([start(), text(type="marker", id="x" * 65)], 4400),
}


@pytest.fixture(autouse=True)
def no_traceback(caplog):
    caplog.set_level(logging.DEBUG, "streamrvq")
    yield
    for record in caplog.records:
        assert record.exc_info is None, record
        assert record.levelno < logging.ERROR, record
        assert "Traceback" not in record.getMessage()
        assert record.getMessage().isascii()


async def still_good(server):
    async with streamrvq.connect(server.url) as stream:
        stream.feed([PCM])
        got = np.concatenate([item.codes async for item in stream], axis=1)
    assert np.array_equal(got, CAUSAL.encode(PCM))


@pytest.mark.asyncio
async def test_every_case_has_its_code(monkeypatch):
    """All at once against one server, with a good client beside them."""
    no_refill(monkeypatch)
    with nothing_left():
        async with serving(max_streams=1000) as server:
            good = asyncio.create_task(still_good(server))
            ends = {}
            names = list(CASES)
            for first in range(0, len(names), 8):
                some = names[first : first + 8]
                for name, end in zip(
                    some, await asyncio.gather(*(end_of(server.url, CASES[name][0]) for name in some)), strict=True
                ):
                    ends[name] = end
            await good
            await still_good(server)
            await until(lambda: server.streams == server.connections == 0)
        gc.collect()
    assert {name: code for name, (code, _) in ends.items()} == {name: code for name, (_, code) in CASES.items()}
    for name, (code, texts) in ends.items():
        if code == 1009 and name != "huge json":  # the websocket layer's own refusal
            continue
        assert (texts[-1]["type"], texts[-1]["code"]) == ("error", code), name
        assert len(texts[-1]["message"]) > 20, name


@pytest.mark.asyncio
@pytest.mark.parametrize("offered", [None, ["streamrvq.v2"], ["chat", "streamrvq.v0"]])
async def test_another_subprotocol(offered):
    async with serving() as server:
        code, texts = await end_of(server.url, [start()], subprotocols=offered)
        assert (code, texts[0]["code"]) == (4406, 4406)
        assert "streamrvq.v1" in texts[0]["message"]
        code, _ = await end_of(server.url, [start(), text(type="stop")], subprotocols=["other", "streamrvq.v1"])
        assert code == 1000


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("headers", "token", "code"),
    [
        ({}, ..., 4401), ({}, None, 4401), ({}, "", 4401), ({}, "wrong", 4401), ({}, "korrekt ", 4401),
        ({}, ["korrekt"], 4401), ({}, "\ud800", 4401),
        ({"Authorization": "Bearer wrong"}, "korrekt", 4401),
        ({"Authorization": "Basic korrekt"}, ..., 4401),
        ([("Authorization", "Bearer korrekt"), ("Authorization", "Bearer korrekt")], ..., 4401),
        ({"Authorization": "bearer korrekt"}, ..., 1000),
        ({}, "korrekt", 1000),
    ],
)  # fmt: skip
async def test_tokens(headers, token, code, caplog):
    async with serving(tokens=("korrekt",)) as server:
        messages = [start(token=token), text(type="stop")]
        assert (await end_of(server.url, messages, additional_headers=headers))[0] == code
    assert "korrekt" not in caplog.text


@pytest.mark.asyncio
async def test_resume_without_a_token_does_not_say_whether_there_is_a_session():
    async with serving(tokens=("korrekt",)) as server:
        resume = {"type": "resume", "version": 1, "session": "0" * 32, "next_frame": 0}
        assert (await end_of(server.url, [text(**resume)]))[0] == 4401
        assert (await end_of(server.url, [text(**resume, token="korrekt")]))[0] == 4404


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("http://evil.example", False), ("null", False), ("http://[", False), ("https://good.example", True),
        ("http://127.0.0.1:{port}", True), ("http://127.0.0.1:1", False),
    ],
)  # fmt: skip
async def test_origins(origin, good, caplog):
    async with serving(origins=("https://good.example",)) as server:
        headers = {"Origin": origin.format(port=server.port)}
        if good:
            assert (await end_of(server.url, [start(), text(type="stop")], additional_headers=headers))[0] == 1000
            return
        with pytest.raises(InvalidStatus) as refusal:
            await end_of(server.url, [], additional_headers=headers)
        assert refusal.value.response.status_code == 403
        assert headers["Origin"] in caplog.text


@pytest.mark.asyncio
async def test_two_origins_and_a_token_in_the_url():
    async with serving() as server:
        twice = [("Origin", "http://a.example"), ("Origin", "http://b.example")]
        for options, status in (({"additional_headers": twice}, 400), ({}, 404)):
            with pytest.raises(InvalidStatus) as refusal:
                await connect_raw(server.url + ("" if options else "/?token=secret"), **options)
            assert refusal.value.response.status_code == status


@pytest.mark.asyncio
async def test_no_http_and_no_handshake():
    async with serving(start_timeout=DEADLINE) as server:
        for garbage in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 100_000):
            client = RawClient(server.port)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE):
                try:
                    await client.send(garbage)
                    while await loop.sock_recv(client.socket, 4096):
                        pass
                except ConnectionError:
                    pass
            client.close()
        await still_good(server)


@pytest.mark.asyncio
async def test_slow_clients_are_told_so():
    """No start, nothing after a start, half a message, half a handshake: each has its deadline."""
    with nothing_left():
        async with serving(start_timeout=DEADLINE, idle_timeout=DEADLINE) as server:
            half = RawClient(server.port)
            await half.send(b"GET / HTTP/1.1\r\nHost:")
            ends = await asyncio.gather(
                end_of(server.url, []),
                end_of(server.url, [start()]),
                end_of(server.url, [start(), packet(payload=GOOD)]),
            )
            assert [code for code, _ in ends] == [4408] * 3
            assert "no start" in ends[0][1][-1]["message"]
            assert "nothing was received" in ends[1][1][-1]["message"]
            cut = RawClient(server.port)
            await cut.handshake()
            await cut.message(start())
            await cut.message(packet(payload=GOOD), keep=50)
            await until(lambda: server.streams == server.connections == 0)
            half.close()
            cut.close()
        gc.collect()


@pytest.mark.asyncio
async def test_bad_text_and_bad_frames():
    async with serving() as server:
        for frame, code in ((b"\x81\x82\0\0\0\0\xff\xff", Close.BAD_TEXT), (b"\xff\x80\0\0\0\0", Close.WIRE)):
            client, loop = RawClient(server.port), asyncio.get_running_loop()
            await client.handshake()
            await client.message(start())
            await client.send(frame)
            data = b""
            async with asyncio.timeout(PATIENCE):
                while int(code).to_bytes(2, "big") not in data[-100:]:
                    part = await loop.sock_recv(client.socket, 4096)
                    assert part, data
                    data += part
            client.close()
        await still_good(server)
        await until(lambda: server.connections == 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("reset", [False, True])
async def test_clients_that_vanish(reset):
    """In the handshake, before the start, within a message, while it is computed, and after the stop."""
    with nothing_left():
        async with serving() as server:
            for steps in range(6):
                client = RawClient(server.port)
                if steps >= 1:
                    await client.handshake()
                if steps >= 2:
                    await client.message(start())
                if steps >= 3:
                    await client.message(packet(payload=bytes(30_000)))
                if steps >= 4:
                    await client.message(packet(1, 15_000, bytes(30_000)), keep=20_000 if steps == 4 else None)
                if steps >= 5:
                    await client.message(text(type="stop"))
                client.close(reset)
            await still_good(server)
            await until(lambda: server.streams == server.connections == 0)
        gc.collect()
