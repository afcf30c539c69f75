"""A stream survives a broken connection, and only its own client can resume it."""

import asyncio
import gc
import json

import numpy as np
import pytest

import streamrvq
from streamrvq import Frames, Gap, ServiceError
from streamrvq.live.protocol.text import Marker
from tests.support.contract import noise
from tests.support.patience import DEADLINE, PATIENCE
from tests.support.plain_client import raw
from tests.support.service import CAUSAL, DELAYED, HOP, RATE, end_of, int16, serving, start, until
from tests.support.shell import nothing_left


def cut_all(server):
    """Every connection breaks, without a word."""
    for socket in list(server._connections):
        socket.transport.abort()


async def journey(codec, rate, pcm, cuts, rng):
    """All items and the totals of a stream whose connection breaks ``cuts`` times at random moments.

    A moment is a number of samples and then a few milliseconds. The stop waits for all cuts but the last, which
    comes around it. So every cut but that one meets a connection, however fast the machine is.
    """
    left = sorted([*rng.integers(0, len(pcm), cuts - 1).tolist(), len(pcm)] if cuts else [])
    at = 0

    async def speak():
        nonlocal at
        while at < len(pcm):
            size = int(rng.integers(0, 700)) if cuts else 500
            size = min(size, 30_000 - at) if at < 30_000 else size
            await stream.send(pcm[at : at + size])
            at += len(pcm[at : at + size])
            if size and at == 30_000:
                await stream.marker("before")
                await stream.gap(700)
                await stream.set(2)
                await stream.gap(2 * rate)
                await stream.marker("behind")
            await asyncio.sleep(0.0005)
        await until(lambda: len(left) < 2)
        await stream.stop()

    async def cut():
        while left:
            await until(lambda: at >= left[0] and server._connections)
            await asyncio.sleep(float(rng.random()) * 0.005)
            cut_all(server)
            del left[0]

    async with (
        serving(codec, idle_timeout=PATIENCE) as server,
        streamrvq.connect(server.url, sample_rate=rate, queue_size=8) as stream,
    ):
        speaking, cutting = asyncio.create_task(speak()), asyncio.create_task(cut())
        items = [item async for item in stream]
        await speaking
        cutting.cancel()
        await asyncio.wait([cutting])
        assert stream.stats().lost_connections > 0 or not cuts
        return items, stream.done


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", [CAUSAL, DELAYED], ids=["causal", "symmetric"])
@pytest.mark.parametrize("rate", [RATE, 48_000])
async def test_the_codes_are_those_of_an_unbroken_run(codec, rate):
    """Connections cut at random moments, markers and gaps among the samples, levels changed: items as without a cut."""
    rng, pcm, lines = np.random.default_rng(rate), noise(3 * rate), []
    for cuts in (0, 12):
        with nothing_left():
            lines.append(await journey(codec, rate, pcm, cuts, rng))
            gc.collect()
    frames = [
        [tuple(item.codes[:, i]) for item in items if isinstance(item, Frames) for i in range(item.codes.shape[1])]
        for items, _ in lines
    ]
    others = [[item for item in items if not isinstance(item, Frames)] for items, _ in lines]
    assert frames[0] == frames[1]
    assert others[0] == others[1]
    assert lines[0][1] == lines[1][1]
    assert others[0] == [
        Marker(id="before"), Gap(30_000, 700, "filled with zeros"),
        Gap(30_700, 2 * rate, "a new stream begins behind it"), Marker(id="behind"),
    ]  # fmt: skip
    first = codec.encode(np.concatenate([pcm[:30_000], np.zeros(700, np.float32)]), sample_rate=rate)
    second = codec.encode(pcm[30_000:], sample_rate=rate)
    expected = [tuple(codes) for codes in np.concatenate([first, second], axis=1).T]
    assert len(frames[0]) == len(expected)
    assert frames[0] == [whole[: len(have)] for have, whole in zip(frames[0], expected, strict=True)]
    assert {len(have) for have in frames[0]} == {2, 3}


def resume(session, next_frame, **fields):
    return {"type": "resume", "version": 1, "session": session, "next_frame": next_frame, **fields}


async def parked(server, frames=10, token=...):
    """A stream of ``frames`` frames and half a hop whose connection was lost. Returns its name and samples."""
    pcm = int16(noise(frames * HOP + HOP // 2))
    async with raw(server, start(token=token)) as client:
        await client.send(pcm)
        await client.hear(frames)
        client.ws.transport.abort()
    # where it is not parked for long, it may have expired before anybody looks
    await until(lambda: (server.sessions.parked or server.metrics.expired) and not server.streams)
    return client.texts[0]["session"], pcm


@pytest.mark.asyncio
async def test_from_any_frame_on():
    async with serving() as server:
        session, pcm = await parked(server)
        rest = int16(noise(300))
        for frame in (0, 10, 3):
            async with raw(server, resume(session, frame)) as client:
                assert client.texts[0] == {"type": "resumed", "pos": len(pcm), "next_frame": frame}
                client.codes = [np.zeros((frame, 3), np.uint16)]
                await client.hear(10)
                client.ws.transport.abort()
            await until(lambda: server.sessions.parked and not server.streams)
            assert np.array_equal(np.concatenate(client.codes)[frame:].T, CAUSAL.encode(pcm)[:, frame:10])
        async with raw(server, resume(session, 10)) as client:
            client.pos, client.codes = len(pcm), [np.zeros((10, 3), np.uint16)]
            await client.send(rest)
            await client.ws.send('{"type":"stop"}')
            await client.hear()
            assert client.ws.close_code == 1000
            assert client.texts[-1]["type"] == "done"
        whole = CAUSAL.encode(np.concatenate([pcm, rest]))
        assert np.array_equal(np.concatenate(client.codes)[10:].T, whole[:, 10:])
        assert (await end_of(server.url, [json.dumps(resume(session, 10))]))[0] == 4404  # it has ended
        assert server.sessions.parked == server.streams == 0
        assert server.metrics.resumed == 4


@pytest.mark.asyncio
async def test_after_the_stop_the_end_can_still_be_had(monkeypatch):
    async with serving() as server:
        session, pcm = await parked(server)
        honest, held = server.scheduler.close, []
        monkeypatch.setattr(server.scheduler, "close", held.append)  # so that the connection is lost in between
        async with raw(server, resume(session, 10)) as client:
            await client.ws.send('{"type":"stop"}')
            await until(lambda: held)
            client.ws.transport.abort()
        await until(lambda: server.sessions.parked)
        honest(*held)
        async with raw(server, resume(session, 4)) as client:
            client.codes = [np.zeros((4, 3), np.uint16)]
            await client.ws.send('{"type":"stop"}')  # again: it cannot know
            await client.hear()
        assert np.array_equal(np.concatenate(client.codes)[4:].T, CAUSAL.encode(pcm)[:, 4:])
        assert client.texts[-1] == {"type": "done", "frames": 11, "samples": len(pcm), "lost": 0}


@pytest.mark.asyncio
async def test_the_newest_holder_has_it():
    """A client comes back before the server has noticed that it was gone."""
    async with serving() as server:
        async with raw(server, start()) as old:
            await old.send(int16(noise(10 * HOP)))
            await old.hear(10)
            async with raw(server, resume(old.texts[0]["session"], 10)) as new:
                new.pos, new.codes = 10 * HOP, [np.zeros((10, 3), np.uint16)]
                await old.hear()
                assert old.ws.close_code == 1006
                assert server.streams == 1
                await new.send(int16(noise(HOP)))
                await new.hear(11)
        await until(lambda: server.streams == server.connections == 0)
        assert server.sessions.parked == 0


@pytest.mark.asyncio
async def test_nobody_resumes_another_ones_session():
    async with serving(tokens=("mine", "yours")) as server:
        session, _ = await parked(server, token="mine")
        for other in (
            resume(session, 10, token="yours"), resume(session, 10), resume(session[:-1], 10, token="mine"),
            resume(session[::-1], 10, token="mine"), resume("", 0, token="mine"),
        ):  # fmt: skip
            assert (await end_of(server.url, [json.dumps(other)]))[0] in (4401, 4404)
        assert server.sessions.parked == 1
        headers = {"Authorization": "Bearer yours"}
        code, _ = await end_of(server.url, [json.dumps(resume(session, 10, token="mine"))], additional_headers=headers)
        assert code == 4404
        async with raw(server, resume(session, 10, token="mine")) as client:
            assert client.texts[0]["type"] == "resumed"
            # while it has a holder, too
            assert (await end_of(server.url, [json.dumps(resume(session, 10, token="yours"))]))[0] == 4404


@pytest.mark.asyncio
async def test_frames_that_are_not_there():
    async with serving() as server:
        session, _ = await parked(server)
        code, texts = await end_of(server.url, [json.dumps(resume(session, 11))])
        assert code == 4400
        assert "only 10 frames" in texts[-1]["message"]
        assert server.sessions.parked == 1  # a mistake costs nothing
        async with raw(server, resume(session, 10)) as client:
            assert client.texts[0]["type"] == "resumed"


@pytest.mark.asyncio
async def test_parking_is_bounded_in_number_and_time():
    async with serving(max_parked=2, park_timeout=PATIENCE) as server:
        sessions = [(await parked(server))[0] for _ in range(3)]
        assert server.sessions.parked == 2
        for session, code in zip(sessions, (4404, None, None), strict=True):
            if code:
                assert (await end_of(server.url, [json.dumps(resume(session, 10))]))[0] == code
            else:
                async with raw(server, resume(session, 10)) as client:
                    assert client.texts[0]["type"] == "resumed"
    async with serving(park_timeout=0.2) as server:
        session, _ = await parked(server)
        await until(lambda: server.sessions.parked == 0)
        assert (await end_of(server.url, [json.dumps(resume(session, 10))]))[0] == 4404
        assert server.metrics.expired == 1
    async with serving(max_parked=0) as server:
        async with raw(server, start()) as client:
            client.ws.transport.abort()
        await until(lambda: server.streams == 0)
        assert (await end_of(server.url, [json.dumps(resume(client.texts[0]["session"], 0))]))[0] == 4404


@pytest.mark.asyncio
async def test_what_is_not_parked():
    """Decoding streams, streams that the client closed, and those that the server did."""
    async with serving(idle_timeout=DEADLINE / 2) as server:
        ends = {}
        for name, first in (("decode", start(mode="decode")), ("closed", start()), ("slow", start())):
            async with raw(server, first) as client:
                if name == "decode":
                    client.ws.transport.abort()
                elif name == "slow":
                    await client.hear()
                    assert client.ws.close_code == 4408
            await until(lambda: server.streams == 0)
            ends[name] = await end_of(server.url, [json.dumps(resume(client.texts[0]["session"], 0))])
        assert [code for code, _ in ends.values()] == [4404] * 3
        assert server.sessions.parked == 0


@pytest.mark.asyncio
async def test_a_client_gives_up_in_the_end():
    with nothing_left():
        async with serving(max_parked=0) as server, asyncio.timeout(PATIENCE):
            stream = streamrvq.connect(server.url)
            with pytest.raises(ServiceError, match="no such session") as lost:
                async with stream:
                    await stream.send(noise(10 * HOP))
                    assert (await anext(stream)).index == 0
                    cut_all(server)
                    async for _ in stream:
                        pass
            assert lost.value.code == 4404
        async with serving() as server:
            stream = streamrvq.connect(server.url, resume=0.5)
            with pytest.raises(ServiceError, match="could not be resumed"):
                async with stream:
                    server._listening.close(close_connections=False)
                    cut_all(server)
                    while True:
                        await stream.send(noise(10 * HOP))
        gc.collect()
