"""The websocket service as a user meets it: codes and samples equal offline's, and the client says what happened."""

import asyncio
import gc
import json
import re
from pathlib import Path

import numpy as np
import pytest

import streamrvq
from streamrvq import Frames, Gap
from streamrvq.live.protocol.text import Marker
from tests.support.contract import codec_of, cut, minute, noise, tiny
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, DELAYED, HOP, RATE, connect_raw, int16, joined, packet, serving, start
from tests.support.shell import nothing_left, source

#: mode, rate, format of ten clients at once
CLIENTS = [
    ("encode", 8_000, "s16le"), ("encode", 16_000, "f32le"), ("encode", 22_050, "s16le"), ("encode", 44_100, "s16le"),
    ("encode", 48_000, "f32le"), ("encode", 96_000, "s16le"), ("decode", 16_000, "f32le"), ("decode", 16_000, "s16le"),
    ("decode", 48_000, "f32le"), ("decode", 8_000, "s16le"),
]  # fmt: skip


def offline(codec, mode, rate, format, data):
    """What a client must get for all that it sent."""
    if mode == "encode":
        return codec.encode(data, sample_rate=rate)
    pcm = codec.decode(data, rate).astype(np.float32)
    return int16(pcm).astype(np.float32) / 32768 if format == "s16le" else pcm


async def client(url, mode, rate, format, data, sizes, pace=None):
    """Send ``data`` in pieces, at ``pace`` a second. Returns everything that came back, and `done`."""
    loop = asyncio.get_running_loop()

    async def pieces():
        began, sent = loop.time(), 0
        for piece in cut(data, sizes):
            sent += piece.shape[-1]
            if pace is not None:
                await asyncio.sleep(began + sent / pace - loop.time())
            yield piece

    async with streamrvq.connect(url, mode, sample_rate=rate, format=format) as stream:
        stream.feed(pieces())
        items = [item async for item in stream]
    return items, stream.done


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", [CAUSAL, DELAYED], ids=["causal", "symmetric"])
async def test_ten_clients_at_real_time_pace(codec):
    seconds, runs = 2.0, []
    for number, (mode, rate, format) in enumerate(CLIENTS):
        rng = np.random.default_rng(number)
        if mode == "encode":
            data, pace = noise(int(seconds * rate), number), rate
            data = int16(data) if format == "s16le" else data
        else:
            data, pace = rng.integers(0, 64, (3 - number % 2, int(seconds * RATE / HOP))), RATE / HOP
        sizes = rng.integers(1, max(2, int(0.06 * pace)), 1000).tolist()
        runs.append((mode, rate, format, data, sizes, pace))
    with nothing_left():
        async with serving(codec) as server:
            ends = await asyncio.gather(*(client(server.url, *run) for run in runs))
        gc.collect()
    for (mode, rate, format, data, _, _), (items, done) in zip(runs, ends, strict=True):
        whole = offline(codec, mode, rate, format, data)
        assert np.array_equal(joined(items, mode), whole), (mode, rate, format)
        samples, frames = (data, whole) if mode == "encode" else (whole, data)
        assert (done.samples, done.frames, done.lost) == (samples.shape[-1], frames.shape[-1], 0)


@pytest.mark.asyncio
async def test_the_cutting_of_messages_does_not_show():
    pcm = noise(3000)
    whole = DELAYED.encode(pcm, sample_rate=44_100)
    async with serving(DELAYED) as server:
        for sizes in ([1] * 400, [0, 2999, 0], [], [640] * 5, [63, 65, 1] * 30):
            items, _ = await client(server.url, "encode", 44_100, "f32le", pcm, sizes)
            assert np.array_equal(joined(items, "encode"), whole)
            assert [item.index for item in items] == np.cumsum([0] + [i.codes.shape[1] for i in items])[:-1].tolist()
            assert items[-1].time == pytest.approx(items[-1].index * HOP / RATE)
        # No samples at all, and no codes.
        items, done = await client(server.url, "encode", 44_100, "f32le", pcm[:0], [])
        assert (items, done.frames, done.samples) == ([], 0, 0)
        items, done = await client(server.url, "decode", None, "f32le", whole[:, :0], [])
        assert (items, done.frames, done.samples) == ([], 0, 0)


@pytest.mark.asyncio
async def test_a_long_signal_at_full_speed_is_slowed_not_refused():
    pcm = int16(noise(15 * RATE))
    async with serving() as server:
        (fast, _), (slow, _) = await asyncio.gather(
            client(server.url, "encode", RATE, "s16le", pcm, []),
            client(server.url, "encode", RATE, "s16le", pcm[: 2 * RATE], [320] * 100, RATE),
        )
    assert np.array_equal(joined(fast, "encode"), CAUSAL.encode(pcm))
    assert np.array_equal(joined(slow, "encode"), CAUSAL.encode(pcm[: 2 * RATE]))


@pytest.mark.asyncio
async def test_ready_says_what_the_codec_is():
    async with serving(DELAYED, max_message=5000) as server, streamrvq.connect(server.url) as stream:
        ready = stream.ready
        assert (ready.version, ready.codec, ready.codec_hash) == (1, DELAYED.name, DELAYED.codec_hash)
        assert (ready.sample_rate, ready.hop, ready.codebooks, ready.codebook_size) == (RATE, HOP, 3, 64)
        assert (ready.delay_frames, ready.max_message, ready.trained) == (DELAYED.delay_frames, 5000, False)
        assert ready.decoder_delay_samples == DELAYED.decoder_delay_samples > 0
        assert len(ready.session) == 32
        assert stream.sample_rate == RATE


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [RATE, 44_100])
async def test_gaps(rate):
    a, b, c = noise(1001), noise(903, 1), noise(640, 2)
    short, long = Gap(1001, 700, "x"), Gap(1001 + 700 + 903, rate + 1, "y")
    async with serving(DELAYED) as server, streamrvq.connect(server.url, sample_rate=rate) as stream:
        stream.feed(source(a, short, b, long, c))
        items = [item async for item in stream]
    at = next(i for i, item in enumerate(items) if isinstance(item, Gap) and item.samples == long.samples)
    before = DELAYED.encode(np.concatenate([a, np.zeros(700, np.float32), b]), sample_rate=rate)
    after = DELAYED.encode(c, sample_rate=rate)
    assert np.array_equal(joined([i for i in items[:at] if isinstance(i, Frames)], "encode"), before)
    assert np.array_equal(joined(items[at + 1 :], "encode"), after)
    gaps = [(item.position, item.samples) for item in items if isinstance(item, Gap)]
    assert gaps == [(1001, 700), (long.position, long.samples)]
    first = items[at + 1]
    assert first.index == before.shape[1]
    assert first.time == pytest.approx((long.position + long.samples) / rate)
    stats = stream.stats()
    assert (stats.gaps, stats.lost, stats.frames) == (2, 701 + rate, before.shape[1] + after.shape[1])
    assert (stream.done.samples, stream.done.lost) == (1001 + 903 + 640, 701 + rate)


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [RATE, 48_000])
async def test_a_marker_comes_when_everything_before_it_is_out(rate):
    hop = HOP * rate // RATE
    async with serving(DELAYED) as server, streamrvq.connect(server.url, sample_rate=rate) as stream:
        for number in range(40):
            await stream.send(noise(hop // 2, number))
            await stream.marker(number)
        await stream.marker("last")
        await stream.stop()
        out, came = 0, []
        async for item in stream:
            if isinstance(item, Marker):
                came.append(item.id)
                due = 20 if item.id == "last" else (item.id + 2) // 2  # a half hop needs its frame, too
                assert out >= due
                assert out <= due + 1 + 16 * (rate != RATE) or out == 20
            else:
                out += item.codes.shape[1]
    assert came == [*range(40), "last"]


@pytest.mark.asyncio
async def test_markers_when_decoding():
    codes = CAUSAL.encode(noise(6400))
    async with serving(DELAYED) as server, streamrvq.connect(server.url, "decode", sample_rate=48_000) as stream:
        await stream.send(codes[:, :50])
        await stream.marker("half")
        await stream.send(codes[:, 50:])
        await stream.marker("all")
        await stream.stop()
        items = [item async for item in stream]
    samples = np.cumsum([0 if isinstance(item, Marker) else len(item) for item in items])
    half, whole = [i for i, item in enumerate(items) if isinstance(item, Marker)]
    assert 50 * HOP * 3 <= samples[half] < samples[whole] == 100 * HOP * 3


@pytest.mark.asyncio
async def test_codes_that_wait_together_keep_their_levels(monkeypatch):
    """Each message has its own number of levels. None is computed before the last one has come."""
    codes = CAUSAL.encode(noise(30 * HOP))
    parts = [codes[:levels, 5 * i : 5 * i + 5] for i, levels in enumerate((3, 1, 2, 2, 1, 3))]
    stream = CAUSAL.decoder_stream()
    wanted = np.concatenate([*map(stream.push, parts), stream.flush()])
    assert np.array_equal(wanted[: 5 * HOP], CAUSAL.decode(parts[0]))
    async with (
        serving() as server,
        connect_raw(server.url, subprotocols=["streamrvq.v1"], compression=None) as ws,
    ):
        monkeypatch.setattr(server.scheduler, "feed", lambda lane, data: lane.put(data, 0.0))
        await ws.send(start(mode="decode", format="f32le"))
        for i, part in enumerate(parts):
            payload = part.T.astype("<u2").tobytes()
            await ws.send(packet(i, 5 * i, payload, kind=2, flags=int(i == 5), codebooks=len(part)))
        came = [data async for data in ws]
    assert json.loads(came[-1]) == {"type": "done", "frames": 30, "samples": 30 * HOP, "lost": 0}
    samples = np.concatenate([np.frombuffer(data[16:], "<f4") for data in came if isinstance(data, bytes)])
    assert np.array_equal(samples, wanted.astype(np.float32))


@pytest.mark.asyncio
async def test_levels_change_from_the_next_frame_on():
    pcm = noise(20 * HOP)
    whole = CAUSAL.encode(pcm)
    async with serving() as server, streamrvq.connect(server.url, n_quantizers=2) as stream:
        for levels in (None, 1, 3):
            if levels is not None:
                await stream.set(levels)
            await stream.send(pcm[:320])
            pcm = pcm[320:]
        await stream.stop()
        items = [item async for item in stream]
    expected = [2] * 5 + [1] * 5 + [3] * 5
    frames = [(item.codes[:, i], item.index + i) for item in items for i in range(item.codes.shape[1])]
    assert [len(codes) for codes, _ in frames] == expected
    assert [index for codes, index in frames if not np.array_equal(codes, whole[: len(codes), index])] == []


@pytest.mark.asyncio
async def test_a_final_message_ends_a_stream_like_stop():
    pcm = int16(noise(1000))
    async with (
        serving() as server,
        connect_raw(server.url, subprotocols=["streamrvq.v1"], compression=None) as ws,
    ):
        await ws.send(start())
        assert json.loads(await ws.recv())["type"] == "ready"
        await ws.send(packet(payload=pcm.tobytes(), flags=1))
        parts = []
        while isinstance(data := await ws.recv(), bytes):
            assert int.from_bytes(data[4:8], "little") == len(parts)
            parts.append(np.frombuffer(data[16:], "<u2").reshape(-1, 3))
        assert data == '{"type":"done","frames":16,"samples":1000,"lost":0}'
        await ws.wait_closed()
    assert np.array_equal(np.concatenate(parts).T, CAUSAL.encode(pcm))
    assert ws.close_code == 1000


@pytest.mark.asyncio
async def test_the_example_of_the_page():
    """The server says exactly what PROTOCOL.md writes out byte by byte."""
    page = (Path(streamrvq.__file__).parent / "live" / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
    codec, said = codec_of(tiny(causal=True)), 0
    async with (
        serving(codec) as server,
        connect_raw(server.url, subprotocols=["streamrvq.v1"], compression=None) as ws,
    ):
        for line in page[page.index("## An example") :].splitlines():
            match = re.fullmatch(r"([→←]) (\{.*|(?:0[12] [0-9a-f ]{33}))(?:  (\d+) × [su]16.*)?", line)
            if match is None:
                continue
            said += 1
            from_client, text, count = match[1] == "→", match[2], match[3]
            data = text if count is None else bytes.fromhex(text) + bytes(2 * int(count))
            if from_client:
                await ws.send(data)
                continue
            came = await ws.recv()
            if '"ready"' in text:
                assert json.loads(came)["type"] == "ready"
            else:
                assert came == data if count is None else (came[:16] == data[:16] and len(came) == len(data))
        await ws.wait_closed()
    assert said == 8
    assert ws.close_code == 1000


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [RATE, 48_000])
async def test_odd_strides_decode_to_their_end(rate):
    """A decoder with an odd stride gives fewer samples than frames times hop; the end still comes."""
    codec = codec_of(minute((2, 5), sample_rate=RATE))
    codes = codec.encode(noise(300))
    async with (
        asyncio.timeout(PATIENCE), serving(codec) as server,
        streamrvq.connect(server.url, "decode", sample_rate=rate) as stream,
    ):  # fmt: skip
        await stream.send(codes)
        await stream.marker("behind")
        await stream.stop()
        items = [item async for item in stream]
    assert items[-1] == Marker(id="behind")
    pcm = np.concatenate(items[:-1])
    assert codec.decode(codes).size < codes.shape[1] * codec.hop_length
    assert len(pcm) == stream.done.samples
    assert np.array_equal(pcm, offline(codec, "decode", rate, "f32le", codes))
