"""The microphone on virtual sound devices, whose samples are all known: any lost one is noticed."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import numpy as np
import pytest

from streamrvq import DeviceError, Frames, Gap, InputError, Microphone, StreamClosedError, tokenize
from streamrvq.live.sources import portaudio
from streamrvq.live.sources.devices import SoundDevice, find_device
from tests.conftest import RealAudio
from tests.support.contract import noise
from tests.support.listening import (
    BLOCK,
    CODEC,
    PLENTY,
    RATE,
    SIGNAL,
    SYMMETRIC,
    RecordedSource,
    around,
    fifo,
    listen_once,
    microphone,
    patient,
)
from tests.support.shell import codes_of, nothing_left
from tests.support.virtual_sound import Fifo, Voice

__all__ = ["patient"]  # a fixture


@pytest.mark.asyncio
async def test_thirty_seconds_of_real_audio_at_both_rates(real_audio: RealAudio) -> None:
    clips = np.concatenate(list(real_audio.clips.values()))
    most = 30 + PLENTY + 2  # seconds that can come: a late reader stops late
    voices = {44_100: Voice(clips[: most * 44_100], 44_100, 441), 48_000: Voice(clips[-most * 48_000 :], 48_000, 256)}
    began = time.monotonic()
    with Fifo(voices[44_100], studio=voices[48_000]):

        async def listen(rate: int, device: str, codec: Any) -> None:
            async with Microphone(rate, device, block=voices[rate].block, buffer=PLENTY) as mic:
                source = RecordedSource(mic, 30)
                async with tokenize(source, codec) as tokens:
                    items = [item async for item in tokens]
                stats, ended = mic.stats(), time.monotonic()
            assert mic.name == device
            # The device had 30 s and more. All of it was received, and its codes are the offline ones.
            # However late it is stopped, it gives no more than there was time for since it began, and one block that
            # was due at that moment.
            received = stats.samples + stats.lost
            assert 30 * rate <= received <= (ended - began) * rate + voices[rate].block
            assert source.misplaced(voices[rate].pcm) == 0
            assert [item for item in items if isinstance(item, Gap)] == source.gaps
            assert sum(gap.samples for gap in source.gaps) == stats.lost
            assert len(source.gaps) == stats.gaps
            offline = [codec.encode(signal, sample_rate=rate) for signal in source.signals()]
            live = codes_of(items)
            assert live.shape[1] > 2500
            assert np.array_equal(live, np.concatenate(offline, axis=1))
            assert stats.drift_ppm is not None
            assert abs(stats.drift_ppm) < 5000

        async with asyncio.TaskGroup() as group:
            group.create_task(listen(44_100, "default", CODEC))
            group.create_task(listen(48_000, "studio", SYMMETRIC))


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", [0.2, 0.7])
async def test_a_device_that_loses_samples_without_reporting_it(lost: float) -> None:
    blocks = round(lost * 100)
    with fifo(lose=(100 * BLOCK, blocks * BLOCK)):
        async with microphone(buffer=PLENTY) as mic:
            source = RecordedSource(mic, 2 + lost)
            async with tokenize(source, CODEC) as tokens:
                items = [item async for item in tokens]
    gap = min(source.gaps, key=lambda gap: abs(gap.position - 100 * BLOCK))  # a busy machine may lose some besides
    assert abs(gap.position - 100 * BLOCK) <= BLOCK
    assert "lost on the way" in gap.reason
    assert gap.samples == pytest.approx(lost * RATE, abs=0.1 * RATE)
    # What came after the gap is what the device had after it.
    before, after = around(gap, source.items)
    first = int(np.flatnonzero(after[0] == SIGNAL)[0])
    assert first == (100 + blocks) * BLOCK
    assert np.array_equal(SIGNAL[first : first + len(after)], after)
    assert np.array_equal(SIGNAL[100 * BLOCK - len(before) : 100 * BLOCK], before)
    whole = np.concatenate([CODEC.encode(signal) for signal in source.signals()], axis=1)
    assert np.array_equal(codes_of(items), whole)
    last = [item for item in items if isinstance(item, Frames)][-1]  # the times are still right
    end = last.time + last.codes.shape[1] * CODEC.hop_length / RATE
    behind = end - (mic.stats().samples + mic.stats().lost) / RATE  # the last hop is padded
    assert -1e-9 < behind < CODEC.hop_length / RATE


def test_devices_are_found_by_index_and_by_name() -> None:
    def device(index: int, name: str, default: bool = False) -> SoundDevice:
        return SoundDevice(index, name, "ALSA", 1, 48_000, 0.01, 0.04, default)

    devices = [device(0, "USB Mic"), device(3, "USB Mic 2"), device(4, "Built-in", True)]
    assert find_device(devices, None).index == 4
    assert find_device(devices[:2], None).index == 0
    assert find_device(devices, 3).index == 3
    assert find_device(devices, "built").index == 4
    assert find_device(devices, "usb mic").index == 0  # a whole name takes precedence over a part of one
    assert find_device(devices, "USB Mic 2, ALSA").index == 3
    with pytest.raises(DeviceError, match="2 devices match input device 'usb'; there are: 0 USB Mic, ALSA; 3 "):
        find_device(devices, "usb")
    for wanted in (1, "Line"):
        with pytest.raises(DeviceError, match="there is no input device"):
            find_device(devices, wanted)


def test_invalid_settings_are_refused() -> None:
    for settings, words in [
        ({"rate": 0}, "rate is 0"), ({"block": 0}, "block is 0"), ({"channel": -1}, "channel is -1"),
        ({"channel": 1, "downmix": True}, "with downmix"), ({"buffer": 0}, "buffer is 0"),
        ({"block": 441.5}, "block is 441.5"), ({"block": "441"}, "block is '441'"), ({"channel": 0.5}, "channel is"),
        ({"buffer": "2"}, "buffer is '2'"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=words):
            Microphone(**settings)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"block": RATE}, "which last 1 s at 44100 Hz; wanted at most 0.5 s"),  # it would count as silent in between
        ({"block": RATE // 2, "buffer": 0.5}, "wanted at most 0.25 s"),  # none would fit beside one that waits
        ({"device": 0.5}, "device is 0.5"), ({"device": b"default"}, "device is b'default'"),
    ],
)  # fmt: skip
async def test_what_is_refused_once_the_device_is_known(settings: dict[str, Any], words: str) -> None:
    with fifo(), nothing_left(), pytest.raises(InputError, match=words):
        async with Microphone(RATE, **settings):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize("block", [2, 441, RATE // 4, None])
async def test_the_buffer_holds_its_seconds_whatever_the_blocks_are(block: int | None) -> None:
    with fifo():
        async with Microphone(RATE, block=block, buffer=3) as mic:
            silence = np.zeros(block or 16, np.float32)
            for _ in range(3 * RATE // len(silence)):  # as the device's thread does
                mic._ring.write(silence, 0.0)
            assert mic.stats().overruns == 0
            assert mic.stats().waiting == 3 * RATE // len(silence) * len(silence)


@pytest.mark.asyncio
@pytest.mark.parametrize("settings", [{"channel": 1}, {"downmix": True}])
async def test_a_channel_or_the_mean_of_two_when_asked_for(settings: dict[str, Any]) -> None:
    stereo = np.stack([SIGNAL[: 4 * RATE], noise(4 * RATE, 1)], axis=1)
    mono = stereo[:, 1] if "channel" in settings else stereo.astype(np.float64).mean(axis=1).astype(np.float32)
    with Fifo(Voice(stereo, RATE, BLOCK)):
        async with microphone(buffer=PLENTY, **settings) as mic:
            source = RecordedSource(mic, 0.3)
            async for _ in source:
                pass
    assert source.misplaced(mono) == 0


@pytest.mark.asyncio
async def test_a_microphone_is_entered_once_though_twice_at_once() -> None:
    with fifo():
        await listen_once(microphone())
        with nothing_left():
            mic = microphone()
            first, second = await asyncio.gather(mic.__aenter__(), mic.__aenter__(), return_exceptions=True)
            assert first is mic
            assert isinstance(second, StreamClosedError)
            await mic.aclose()


@pytest.mark.asyncio
async def test_every_way_to_leave_leaves_nothing() -> None:
    with fifo():
        await listen_once(microphone())
        with nothing_left():
            async with microphone():  # opened, never iterated
                pass
        with nothing_left():
            async with microphone() as mic:
                async for _ in mic:
                    break
            with pytest.raises(StreamClosedError, match="entered before"):
                await mic.__aenter__()
            with pytest.raises(StreamClosedError, match="captured once"):
                await anext(aiter(mic))
            assert mic.stats().samples > 0
            gc.collect()
            await asyncio.sleep(0)
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        with nothing_left(), pytest.raises(ZeroDivisionError):
            async with microphone() as mic, tokenize(mic, CODEC) as tokens:
                async for _ in tokens:
                    raise ZeroDivisionError
        with nothing_left():
            async with microphone() as mic:
                items = aiter(mic)
                await anext(items)
                await mic.aclose()
                with pytest.raises(StreamClosedError, match="was closed after"):
                    while True:
                        await anext(items)
            await items.aclose()
        with nothing_left():
            async with microphone() as mic:
                mic.stop()
                assert [item async for item in mic] == []

        async def read() -> None:
            async with microphone() as mic:
                reached.set()
                async for _ in mic:
                    pass

        for late in (0.0, 0.05):
            with nothing_left():
                reached = asyncio.Event()
                task = asyncio.create_task(read())
                if late:
                    await reached.wait()
                await asyncio.sleep(late)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                del task
    mic = microphone()
    assert mic.start_time is None
    assert mic.sample_rate == RATE
    with pytest.raises(StreamClosedError, match="async with"):
        mic.stats()
    with pytest.raises(StreamClosedError, match="async with"):
        await anext(aiter(mic))


def test_closing_the_event_loop_ends_the_callbacks() -> None:
    async def begin() -> None:
        await mic.__aenter__()
        items.append(aiter(mic))
        await anext(items[0])

    with fifo():
        mic, items = microphone(), []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        stream = mic._stream
        loop.close()  # without closing the microphone
        assert stream is not None
        while stream.active:
            time.sleep(0.01)
        stream.close_now()
        del items[0]
        assert not portaudio.streams


@pytest.mark.asyncio
async def test_the_figures_of_a_capture() -> None:
    began = time.monotonic()  # before PortAudio lists the devices: that opens them already
    with fifo():
        async with microphone(buffer=PLENTY) as mic:
            async with tokenize(mic, CODEC) as tokens:
                async for item in tokens:
                    if isinstance(item, Frames) and item.time > 0.5:
                        mic.stop()
                figures = tokens.stats()
            ended = time.monotonic()
    stats = mic.stats()
    assert stats.samples == figures.samples == stats.blocks * BLOCK
    assert stats.samples >= RATE // 2
    assert (stats.lost, stats.gaps, stats.overruns, stats.overflows, stats.waiting) == (0, 0, 0, 0, 0)
    assert 0 < stats.device_latency < 1
    assert stats.drift_ppm is None
    # The device gives each block when its last sample is due, or later. So sample 0 is at most a block older than the
    # device's opening, and the driver's share of the latency is subtracted on top. All samples came before ``ended``,
    # none of them before its time: sample 0 is older by their duration. No step of this depends on the machine's speed.
    assert mic.start_time is not None
    driver = max(0.0, stats.device_latency - BLOCK / RATE)
    assert began - BLOCK / RATE <= mic.start_time + driver <= ended - stats.samples / RATE
    # A sample cannot be on the queue before it was captured.
    assert figures.capture_latency_p50 is not None
    assert figures.capture_latency_p50 > 0
