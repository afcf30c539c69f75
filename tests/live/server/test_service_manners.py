"""Who may come, what is refused and how, and that a client that leaves early leaves nothing behind."""

import asyncio
import gc
import socket

import numpy as np
import pytest

import streamrvq
from streamrvq import Gap, InputError, ServiceError, StreamClosedError
from streamrvq.live.protocol.text import SetLevels
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, connect_raw, end_of, joined, serving
from tests.support.shell import nothing_left, source


@pytest.mark.asyncio
@pytest.mark.parametrize("given", ["other", "sécret", "ключ", "wrong", None])
async def test_tokens(given):
    async with serving(tokens=("other", "sécret", "ключ")) as server:
        if given in server.settings.tokens:
            async with streamrvq.connect(server.url, token=given) as stream:
                await stream.stop()
                assert [item async for item in stream] == []
        else:
            with pytest.raises(ServiceError, match="token") as refusal:
                await streamrvq.connect(server.url, token=given).__aenter__()
            assert refusal.value.code == 4401


@pytest.mark.asyncio
async def test_a_full_server_says_so_and_has_room_again():
    with nothing_left():
        async with serving(max_streams=1) as server:
            async with streamrvq.connect(server.url):
                with pytest.raises(ServiceError, match="all 1 streams are taken") as refusal:
                    await streamrvq.connect(server.url).__aenter__()
            assert refusal.value.code == 1013
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        async with streamrvq.connect(server.url):
                            break
                    except ServiceError as error:
                        assert error.code == 1013
        gc.collect()


@pytest.mark.asyncio
async def test_too_many_connections():
    async with serving(max_connections=1) as server, connect_raw(server.url, subprotocols=["streamrvq.v1"]):
        code, texts = await end_of(server.url, [])
        assert (code, texts[0]["code"]) == (1013, 1013)
        assert "connections" in texts[0]["message"]


@pytest.mark.asyncio
async def test_nobody_listening_and_no_websocket():
    async with serving() as server:
        with pytest.raises(ServiceError, match="HTTP 404") as refusal:
            await streamrvq.connect(server.url + "/elsewhere").__aenter__()
        assert refusal.value.code == 404
        with pytest.raises(ServiceError, match=r"cannot listen on .* choose another --port"):
            await serving(port=server.port).__aenter__()
    with socket.socket() as taken:  # and nobody listens there, whatever ports others get meanwhile
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServiceError, match="cannot connect") as refusal:
            await streamrvq.connect(f"ws://127.0.0.1:{taken.getsockname()[1]}").__aenter__()
    assert refusal.value.code == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["a..b", 70 * "a", "a\0b", "192.0.2.1", "2001:db8::1"])
async def test_a_host_that_is_no_address_of_this_machine(host):
    with pytest.raises(ServiceError, match=r"cannot listen on .* choose another --host") as refusal:
        await serving(host=host).__aenter__()
    assert (f"on [{host}]:0 " in str(refusal.value)) == (":" in host)


@pytest.mark.asyncio
async def test_errors_of_a_source_come_after_what_preceded_them():
    pcm = noise(1000)
    with nothing_left():
        async with serving() as server:
            for bad, kind in (
                (np.array([np.nan], np.float32), InputError),
                (Gap(5, 0, "nothing"), InputError),
                (ZeroDivisionError("mine"), ZeroDivisionError),
            ):
                items = []
                blocks = source(pcm, then=bad) if isinstance(bad, Exception) else source(pcm, bad)
                async with streamrvq.connect(server.url) as stream:
                    stream.feed(blocks)
                    with pytest.raises(kind):
                        async for item in stream:
                            items.append(item)
                    assert [item async for item in stream] == []
                assert np.array_equal(joined(items, "encode"), CAUSAL.encode(pcm))
        gc.collect()


@pytest.mark.asyncio
async def test_a_stream_is_used_in_order():
    async with serving() as server:
        stream = streamrvq.connect(server.url)
        with pytest.raises(StreamClosedError, match="before"):
            await stream.send(noise(10))
        with pytest.raises(StreamClosedError, match="before"):
            await anext(stream)
        async with stream:
            with pytest.raises(InputError):
                await stream.send(np.zeros((2, 2), np.float32))
            with pytest.raises(InputError):
                await stream.marker(1.5)
            await stream.stop()
            await stream.stop()
            with pytest.raises(StreamClosedError, match="after stop"):
                await stream.send(noise(10))
            assert [item async for item in stream] == []
        with pytest.raises(StreamClosedError):
            await stream.__aenter__()


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "both"}, {"sample_rate": 7000}, {"format": "s24le"}, {"n_quantizers": 0}, {"queue_size": 0},
        {"url": "http://x"}, {"url": "[::1"},
    ],
)  # fmt: skip
def test_settings_that_no_server_takes(settings):
    with pytest.raises(InputError):
        streamrvq.connect(**{"url": "ws://127.0.0.1:1", **settings})


async def set_levels(stream):
    """More than the codec has, unseen by the client, which would refuse them itself."""
    stream._resend.add_text(SetLevels(n_quantizers=4).to_json())
    await stream._send_pending()


@pytest.mark.asyncio
async def test_the_servers_refusal_reaches_sender_and_reader():
    with nothing_left():
        async with serving() as server:
            stream = streamrvq.connect(server.url)
            with pytest.raises(ServiceError, match="has 3"):
                async with stream:
                    await set_levels(stream)
                    async for _ in stream:
                        pass
            stream = streamrvq.connect(server.url)
            with pytest.raises(ServiceError) as refusal:
                async with stream:
                    await set_levels(stream)
                    while True:
                        await stream.send(noise(1000))
            assert refusal.value.code == 4415
        gc.collect()


@pytest.mark.asyncio
async def test_leaving_early_leaves_nothing():
    async def endless():
        while True:
            yield noise(160)
            await asyncio.sleep(0)

    with nothing_left():
        async with serving() as server:
            async with streamrvq.connect(server.url, queue_size=1) as stream:
                stream.feed(endless())
                await anext(stream)
            async with streamrvq.connect(server.url) as stream:
                await stream.send(noise(10))
        gc.collect()
