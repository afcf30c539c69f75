"""The queue of tokens: the codes of the whole signal, the right times, correct statistics."""

import asyncio
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq import END, File, Frames, Gap, SourceError, tokenize
from streamrvq.live import tokens as live_tokens
from streamrvq.live.sources import file as live_file
from streamrvq.live.sources.file import Pace
from tests.support.contract import codec_of, cut, noise, tiny
from tests.support.shell import CODEC, DELAYED, HOP, Clock, codes_of, collect, nothing_left, source


@settings(max_examples=25)
@given(
    rate=st.sampled_from([44100, 48000, 16000, 96000]),
    samples=st.integers(0, 4000),
    sizes=st.lists(st.integers(0, 700), max_size=25),
    delayed=st.booleans(),
    tail=st.sampled_from(["pad", "valid"]),
    levels=st.integers(1, 3),
    as_int16=st.booleans(),
)
def test_any_blocks_give_the_codes_of_the_whole(rate, samples, sizes, delayed, tail, levels, as_int16):
    pcm, codec = noise(samples), DELAYED if delayed else CODEC
    if as_int16:
        pcm = np.clip(pcm * 32768, -32768, 32767).astype(np.int16)
    whole = codec.encode(pcm, sample_rate=rate, n_quantizers=levels, tail=tail)
    items = asyncio.run(collect(source(*cut(pcm, sizes)), codec, sample_rate=rate, n_quantizers=levels, tail=tail))
    assert np.array_equal(np.concatenate([whole[:, :0], *(item.codes for item in items)], axis=-1), whole)
    index = 0
    for item in items:
        assert item.codes.dtype == np.int64
        assert item.codes.shape[-1] >= 1
        assert (item.index, item.time) == (index, pytest.approx(index * HOP / 44100))
        index += item.codes.shape[-1]


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 48000])
async def test_real_audio_through_a_real_width(rate, real_audio):
    codec, pcm = codec_of(tiny(causal=False)), real_audio.excerpt(1.25)  # every size, and the rest at once
    items = await collect(source(*cut(pcm, [1, 441, 480, 511, 512, 513] * 20)), codec, sample_rate=rate)
    assert np.array_equal(codes_of(items), codec.encode(pcm, sample_rate=rate))


@pytest.mark.asyncio
async def test_a_block_of_many_seconds_is_cut_for_the_worker():
    pcm = noise(50_000)
    async with tokenize(source(pcm), CODEC) as tokens:
        items = [item async for item in tokens]
        assert tokens.stats().pushes == 6  # 4 of 0.25 s, the rest, flush
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))


@pytest.mark.asyncio
@pytest.mark.parametrize("downmix", [False, True])
async def test_a_file_at_full_speed(tmp_path, downmix):
    path, rate = tmp_path / "a.wav", 48000
    pcm = np.stack([noise(30_000, seed) for seed in range(2 if downmix else 1)], axis=1)
    soundfile.write(path, pcm, rate, subtype="FLOAT")
    with nothing_left():
        items = await collect(File(path, realtime=False, block=777, downmix=downmix), DELAYED)
    whole = pcm.astype(np.float64).mean(axis=1).astype(np.float32)
    assert np.array_equal(codes_of(items), DELAYED.encode(whole, sample_rate=rate))


# ------------------------------------------------------------------ gaps and the clock


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 16000])
async def test_a_short_gap_is_filled_with_zeros(rate):
    a, b, gap = noise(1001), noise(903, 1), Gap(1001, rate, "overflow")
    async with tokenize(source(a, gap, b), DELAYED, sample_rate=rate, queue_size=1000) as tokens:
        items = [item async for item in tokens]
        stats = tokens.stats()
    filled = np.concatenate([a, np.zeros(rate, np.float32), b])
    assert np.array_equal(codes_of(items), DELAYED.encode(filled, sample_rate=rate))
    assert [item for item in items if isinstance(item, Gap)] == [gap]
    assert (stats.samples, stats.lost, stats.gaps) == (1904, rate, 1)
    assert stats.audio_seconds == pytest.approx(len(filled) / rate)
    for item in items:
        if isinstance(item, Frames):
            assert item.time == pytest.approx(item.index * HOP / 44100)


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [44100, 16000])
async def test_a_longer_gap_begins_a_new_stream(rate):
    a, b, gap = noise(1001), noise(903, 1), Gap(1001, rate + 1, "overflow")
    items = await collect(source(a, gap, b), DELAYED, sample_rate=rate)
    at = items.index(gap)
    before, after = DELAYED.encode(a, sample_rate=rate), DELAYED.encode(b, sample_rate=rate)
    assert np.array_equal(codes_of(items[:at]), before)
    assert np.array_equal(codes_of(items[at:]), after)
    first = items[at + 1]
    assert first.index == before.shape[-1]
    assert first.time == pytest.approx((1001 + rate + 1) / rate)
    last = items[-1]
    assert last.time == pytest.approx(first.time + (last.index - first.index) * HOP / 44100)


@pytest.mark.asyncio
async def test_gaps_at_both_ends_and_behind_one_another():
    pcm, long = noise(80), 50_000
    gaps = [Gap(0, long, "late"), Gap(long, 16, "x"), Gap(long + 96, long, "y"), Gap(2 * long + 96, long, "z")]
    items = await collect(source(gaps[0], gaps[1], pcm, gaps[2], gaps[3]))
    assert [item for item in items if isinstance(item, Gap)] == gaps
    assert np.array_equal(codes_of(items), CODEC.encode(np.concatenate([np.zeros(16, np.float32), pcm])))
    frames = [item for item in items if isinstance(item, Frames)]
    assert frames[0].time == pytest.approx(long / 44100)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("position", "samples"),
    [(99, 5), (101, 5), (100, 0), (100, -5), (100, True), (100, 5.0), (100.0, 5), (np.array([100, 100]), 5)],
)
async def test_a_gap_that_does_not_fit_is_an_error(position, samples):
    items = []
    with pytest.raises(SourceError, match="after 100 samples"):
        async with tokenize(source(noise(100), Gap(position, samples, "x")), CODEC) as tokens:
            items += [item async for item in tokens]
    with pytest.raises(SourceError, match="after 100 samples"):
        async with tokenize(source(noise(100), Gap(position, samples, "x")), CODEC) as tokens:
            while (item := await tokens.queue.get()) is not END:
                items.append(item)
    assert np.array_equal(codes_of(items), CODEC.encode(noise(100)))  # what came before is whole


# ------------------------------------------------------------------ the queue


@pytest.mark.asyncio
async def test_the_queue_is_a_plain_one_and_ends_with_END():
    pcm = noise(1000)
    async with tokenize(source(*cut(pcm, [100] * 10)), CODEC, queue_size=2) as tokens:
        assert type(tokens.queue) is asyncio.Queue
        assert tokens.queue.maxsize == 2
        items = []
        while (item := await tokens.queue.get()) is not END:
            items.append(item)
        assert [item async for item in tokens] == []  # END was taken: nothing hangs
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))
    assert repr(END) == "streamrvq.END"
    assert "index=0" in repr(items[0])


@pytest.mark.asyncio
async def test_a_slow_reader_pauses_the_source_and_loses_nothing():
    pcm, pulled, taken, size = noise(400), 0, 0, 3

    async def watched():
        nonlocal pulled
        for block in cut(pcm, [HOP] * 50):
            pulled += 1
            assert pulled <= taken + size + 2  # on the queue, one waiting for room, one in the reader's hand
            yield block

    async with tokenize(watched(), CODEC, queue_size=size) as tokens:
        items = []
        for _ in range(50):
            while tokens.stats().pushes < min(taken + size + 1, 51):  # until one waits for room
                await asyncio.sleep(0)
            items.append(await anext(tokens))
            taken += 1
        assert [item async for item in tokens] == []
        assert tokens.stats().waiting_seconds > 0
    assert np.array_equal(codes_of(items), CODEC.encode(pcm))


@pytest.mark.asyncio
async def test_leaving_early_ends_a_reader_in_another_task():
    async def endless():
        while True:
            yield noise(HOP)

    with nothing_left():
        async with tokenize(endless(), CODEC, queue_size=1) as tokens:
            await tokens.queue.get()
        reader = asyncio.create_task(tokens.queue.get())
        assert await reader is END


# ------------------------------------------------------------------ figures


@pytest.mark.asyncio
@pytest.mark.parametrize("codec", [CODEC, DELAYED], ids=["causal", "symmetric"])
@pytest.mark.parametrize("hops", [1, 4])
async def test_latencies_are_counted_from_receipt_and_from_capture(monkeypatch, codec, hops):
    clock, block = Clock(), hops * HOP
    monkeypatch.setattr(live_tokens, "time", SimpleNamespace(monotonic=clock, perf_counter=clock))

    class Source:
        sample_rate, start_time = 44100, 1000.0

        async def __aiter__(self):
            for i in range(50):
                clock.now = self.start_time + (i + 1) * block / self.sample_rate  # its last sample is captured
                yield noise(block)

    async with tokenize(Source(), codec) as tokens:
        assert tokens.stats().latency_p50 is None
        assert tokens.stats().rtf == 0
        items = [item async for item in tokens]
        stats = tokens.stats()
    hop = HOP / 44100
    # Frame t leaves with hop t + delay, which comes with the block that ends at the next multiple of ``hops``.
    t = np.arange(50 * hops - codec.delay_frames)
    late = (-(-(t + codec.delay_frames + 1) // hops) * hops - (t + 1)) * hop
    assert stats.capture_latency_p50 == pytest.approx(np.percentile(late, 50))
    assert stats.capture_latency_p99 == pytest.approx(np.percentile(late, 99))
    assert (stats.latency_p50, stats.latency_p99) == (0, 0)  # computing takes no time on this clock
    assert (stats.samples, stats.frames, stats.pushes) == (50 * block, 50 * hops, 51)
    assert codes_of(items).shape[-1] == 50 * hops


@pytest.mark.asyncio
async def test_passes_through_one_file_are_each_measured_from_their_own_start(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live_tokens, "time", SimpleNamespace(monotonic=clock, perf_counter=clock))
    monkeypatch.setattr(live_file, "Pace", functools.partial(Pace, now=clock, sleep=clock.sleep))
    soundfile.write(tmp_path / "clip.wav", noise(4410), 44100, subtype="FLOAT")
    file = File(tmp_path / "clip.wav", block=HOP)
    async with tokenize(file, CODEC, queue_size=1) as tokens:
        await anext(tokens)
        clock.now += 1000
        other = aiter(file)  # which begins much later
        await anext(other)
        await other.aclose()
        assert [item async for item in tokens]
    assert file.start_time >= 2000
    assert tokens.stats().capture_latency_p50 > 900  # most frames came after the jump


@pytest.mark.asyncio
async def test_a_source_without_a_start_time_has_no_capture_latency():
    async with tokenize(source(noise(800)), CODEC) as tokens:
        assert [item async for item in tokens]
        stats = tokens.stats()
    assert stats.capture_latency_p50 is None
    assert stats.latency_p50 is not None
    assert stats.busy_seconds > 0
    assert stats.rtf > 0
    assert stats.audio_seconds == 800 / 44100
