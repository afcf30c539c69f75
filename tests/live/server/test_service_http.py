"""The server beside its streams: health, metrics, TLS, limits of one address, and how it goes down."""

import asyncio
import gc
import json
import signal
import ssl
import subprocess
import sys

import numpy as np
import pytest

import streamrvq
from streamrvq import InputError, ServiceError
from streamrvq.live.server.metrics import Histogram
from streamrvq.live.server.settings import ServerSettings
from tests.live.server.conftest import certificate
from tests.support.contract import noise
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.service import CAUSAL, HOP, RATE, RawClient, connect_raw, end_of, serving, start, until
from tests.support.shell import nothing_left


async def get(server, path, ssl_context=None):
    """Status, headers and body of a plain request."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl_context)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def samples(text):
    """Prometheus' text as name with labels → value."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.asyncio
async def test_health_and_metrics():
    pcm = noise(100 * HOP)
    with nothing_left():
        async with serving(max_streams=5) as server:
            status, headers, body = await get(server, "/health")
            health = json.loads(body)
            assert status == 200
            assert headers["content-type"] == "application/json"
            assert health["status"] == "ok"
            assert health["streams"] == 0
            assert health["max_streams"] == 5
            assert health["codec_hash"] == CAUSAL.codec_hash
            async with streamrvq.connect(server.url) as stream:
                await stream.send(pcm)
                await stream.gap(100)
                assert json.loads((await get(server, "/health"))[2])["streams"] == 1
                await stream.stop()
                frames = sum([item.codes.shape[1] async for item in stream if hasattr(item, "codes")])
            assert (await end_of(server.url, ["{"]))[0] == 4400
            await until(lambda: not server.connections)
            status, headers, body = await get(server, "/metrics")
            figures = samples(body.decode())
        gc.collect()
    encode = ("direction", "encode")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert frames == 102
    assert figures["streamrvq_streams",] == 0
    assert figures["streamrvq_audio_seconds_total", encode] == pytest.approx(frames * HOP / RATE)
    steps = figures["streamrvq_step_seconds_count", encode]
    assert 0 < steps <= frames
    assert figures["streamrvq_step_seconds_sum", encode] > 0
    assert figures["streamrvq_step_streams_sum", encode] == steps
    assert figures["streamrvq_step_streams_bucket", encode, ("le", "1")] == steps
    assert figures["streamrvq_latency_seconds_count",] > 0
    assert figures["streamrvq_closed_total", ("code", "1000")] == 1
    assert figures["streamrvq_closed_total", ("code", "4400")] == 1
    assert figures["streamrvq_lost_samples_total",] == 100


def test_a_histogram():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        histogram.add(value)
    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.sum == 10.0


@pytest.mark.asyncio
async def test_nothing_else_is_there():
    async with serving() as server:
        for path in ("/nowhere", "/health/", "/..%2f..%2fetc/passwd", "/metrics?x=1"):
            assert (await get(server, path))[0] == 404


@pytest.mark.asyncio
async def test_tls(tmp_path, monkeypatch):
    chain, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    pcm = noise(20 * HOP)
    async with serving(tls_certificate=chain, tls_key=key) as server:
        assert server.url.startswith("wss://")
        async with streamrvq.connect(server.url) as stream:
            stream.feed([pcm])
            codes = np.concatenate([item.codes async for item in stream], axis=1)
        assert np.array_equal(codes, CAUSAL.encode(pcm))
        assert (await get(server, "/health", ssl.create_default_context(cafile=str(chain))))[0] == 200
        with pytest.raises(ServiceError, match="cannot connect"):
            await streamrvq.connect(f"ws://127.0.0.1:{server.port}", resume=0).__aenter__()


@pytest.mark.asyncio
async def test_a_certificate_that_is_none(tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    for path in (bad, tmp_path / "missing.pem"):
        with pytest.raises(InputError, match="certificate"):
            await serving(tls_certificate=path).__aenter__()
    with pytest.raises(InputError, match="tls_key came without"):
        ServerSettings(tls_key=bad)


@pytest.mark.parametrize(
    "settings",
    [
        {"port": -1}, {"port": 70_000}, {"max_streams": 0}, {"max_parked": -1}, {"max_connections_of_one": 0},
        {"max_batch": 0}, {"gather": -0.1}, {"gather": 1.0}, {"park_timeout": 0}, {"drain_timeout": 0},
        {"tokens": ("",)},
    ],
)  # fmt: skip
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings)).rstrip("s")):
        ServerSettings(**settings)


@pytest.mark.asyncio
async def test_one_address_has_its_share():
    async with serving(max_connections_of_one=2) as server, connect_raw(server.url, subprotocols=["streamrvq.v1"]):
        async with streamrvq.connect(server.url):
            code, texts = await end_of(server.url, [start()])
            assert code == 1013
            assert "2 connections" in texts[-1]["message"]
        await until(lambda: server.connections == 1)
        assert (await end_of(server.url, [start(), '{"type":"stop"}']))[0] == 1000
        assert server.metrics.refused == 1


@pytest.mark.asyncio
async def test_a_drain_gives_every_client_the_codes_of_all_it_sent():
    """Live clients that know `drain`, one that keeps sending, one that never reads."""
    sent, got, codes = {}, {}, {}

    async def live(name, obeys):
        sent[name], got[name], rng = [], [], np.random.default_rng(name)

        async def speak(stream):
            while True:
                block = (rng.standard_normal(HOP) * 0.1).astype(np.float32)
                await stream.send(block)
                sent[name].append(block)
                await asyncio.sleep(HOP / RATE)

        async with streamrvq.connect(server.url) as stream:
            if not obeys:
                stream._drain = lambda: None
            speaking = asyncio.create_task(speak(stream))
            try:
                async for item in stream:
                    got[name].append(item.codes)
            except ServiceError as error:
                codes[name] = error.code
            speaking.cancel()
            await asyncio.wait([speaking])

    with nothing_left():
        async with serving(drain_timeout=5 * DEADLINE, stop_timeout=PATIENCE) as server:
            tasks = [asyncio.create_task(live(name, name > 0)) for name in range(4)]
            stuck = RawClient(server.port, receive_buffer=4096)
            await stuck.handshake(read=False)
            await stuck.message(start(mode="decode", sample_rate=192_000))
            await until(lambda: all(len(parts) > 20 for parts in [*got.values(), *([] if len(got) == 4 else [[]])]))
            async with asyncio.timeout(PATIENCE):
                await server.stop()
                await asyncio.gather(*tasks)
            stuck.close()
        gc.collect()
    assert set(codes.values()) == {1012}
    for name in range(1, 4):
        whole = CAUSAL.encode(np.concatenate(sent[name]))
        have = np.concatenate(got[name], axis=1)
        # `send` returns when the connection has the block: the last one may be on either side of the stop
        assert whole.shape[1] - have.shape[1] in (-1, 0, 1)
        assert np.array_equal(have[:, : whole.shape[1]], whole[:, : have.shape[1]])
    whole = CAUSAL.encode(np.concatenate(sent[0]))
    have = np.concatenate(got[0], axis=1)
    assert 20 < have.shape[1] <= whole.shape[1]
    assert np.array_equal(have, whole[:, : have.shape[1]])


@pytest.mark.asyncio
async def test_a_draining_server_says_so():
    async with (
        serving(drain_timeout=PATIENCE, stop_timeout=2 * PATIENCE) as server,
        connect_raw(server.url, subprotocols=["streamrvq.v1"], compression=None) as ws,
    ):
        await ws.send(start())
        await ws.recv()
        stopping = asyncio.create_task(server.stop())
        assert json.loads(await ws.recv()) == {"type": "drain", "seconds": PATIENCE}
        for path in ("/health", "/codec/health"):
            status, _, body = await get(server, path)
            assert status == 503
            assert json.loads(body)["status"] == "draining"
        assert (await get(server, "/metrics"))[0] == 200
        assert server.metrics.refused == 0
        with pytest.raises(ServiceError, match="HTTP 503: The server is going down") as refusal:
            await streamrvq.connect(server.url).__aenter__()
        assert refusal.value.code == 503
        assert server.metrics.refused == 1
        await ws.send('{"type":"stop"}')
        assert (await ws.recv())[1] == 1  # final
        assert json.loads(await ws.recv())["type"] == "done"
        assert json.loads(await ws.recv())["code"] == 1012
        port = server.port
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


def test_the_loop_and_the_log_of_the_command(tmp_path):
    """uvloop, a log of JSON lines, and a signal."""
    weights = tmp_path / "small.safetensors"
    CAUSAL.save(weights)
    server = subprocess.Popen(
        [sys.executable, "-c", "from streamrvq.cli import main; main()", "serve", weights, "--port", "0", "--json",
         "--log-format", "json", "--uvloop"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        where = json.loads(server.stdout.readline())
        assert where["max_streams"] >= 2

        async def one():
            async with streamrvq.connect(where["url"]) as stream:
                stream.feed([noise(5 * HOP)])
                return [item async for item in stream]

        assert asyncio.run(one())
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=PATIENCE)
    finally:
        server.kill()
        server.wait()
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    names = [event["event"] for event in events]
    assert names[0] == "listening"
    assert names[-1] == "stopped"
    assert {"connected", "started", "closed"} <= set(names)
    assert [event for event in events if not {"time", "level", "logger"} <= set(event)] == []
