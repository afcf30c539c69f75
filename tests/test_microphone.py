"""The microphone on virtual sound devices: every sample is known, so every lost one can be missed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from streamrvq import (
    DeviceError,
    Frames,
    Gap,
    InputError,
    Microphone,
    StreamClosedError,
    tokenize,
)
from streamrvq.live import portaudio
from streamrvq.live.inputs import InputDevice, find
from tests.conftest import RealAudio
from tests.contract import codec_of, minute, noise
from tests.shell import codes_of, nothing_left
from tests.virtual_sound import Device, Fifo, Pulse, Voice

RATE, BLOCK = 44_100, 441
HEARD = noise(20 * RATE)
CODEC = codec_of(minute((2, 4, 8, 8), causal=True))  # costs next to nothing, and float64: equality is exact
#: Seconds; where nothing is to be lost, however busy this machine is.
PLENTY = 30


def fifo(**settings: Any) -> Fifo:
    return Fifo(Voice(HEARD, RATE, BLOCK, **settings))


def microphone(**settings: Any) -> Microphone:
    return Microphone(RATE, block=BLOCK, **settings)


async def listen_once(mic: Microphone) -> None:
    """So that whatever PortAudio opens once and keeps is open."""
    async with mic, contextlib.aclosing(aiter(mic)) as blocks:
        await anext(blocks)


class Heard:
    """What a microphone gives, kept on its way to the tokens."""

    def __init__(self, mic: Microphone, seconds: float = np.inf) -> None:
        assert mic.sample_rate is not None
        self.mic, self.sample_rate, self._wanted = mic, mic.sample_rate, seconds * mic.sample_rate
        self.items: list[Any] = []

    async def __aiter__(self) -> Any:
        position = 0
        async with contextlib.aclosing(aiter(self.mic)) as items:
            async for item in items:
                assert not isinstance(item, Gap) or item.position == position
                position += item.samples if isinstance(item, Gap) else len(item)
                self.items.append(item)
                yield item
                if position >= self._wanted:
                    self.mic.stop()

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]

    def signals(self) -> list[np.ndarray]:
        """What streams of the codec should have got: zeros for gaps of up to a second, a new signal after longer."""
        found: list[list[np.ndarray]] = [[]]
        for item in self.items:
            if not isinstance(item, Gap):
                found[-1].append(item)
            elif item.samples <= self.sample_rate:
                found[-1].append(np.zeros(item.samples, np.float32))
            else:
                found.append([])
        return [np.concatenate([np.zeros(0, np.float32), *parts]) for parts in found]

    def misplaced(self, pcm: np.ndarray, exact: bool = True) -> int:
        """Samples that are not where the device had them, blocks before the device's first sample left out."""
        blocks, position = [], 0
        for item in self.items:
            if isinstance(item, Gap):
                position += item.samples
            else:
                blocks.append((position, item))
                position += len(item)
        first = blocks[0][1]
        (offset,) = np.flatnonzero(np.isclose(pcm, first[0], atol=0, rtol=0))[:1]
        return sum(int((pcm[offset + at : offset + at + len(block)] != block).sum()) for at, block in blocks)


# ------------------------------------------------------------------ live is offline


@pytest.mark.asyncio
async def test_thirty_seconds_of_real_audio_at_both_rates(real_audio: RealAudio) -> None:
    clips = np.concatenate(list(real_audio.clips.values()))
    voices = {44_100: Voice(clips[: 32 * 44_100], 44_100, 441), 48_000: Voice(clips[-32 * 48_000 :], 48_000, 256)}
    with Fifo(voices[44_100], studio=voices[48_000]):

        async def listen(rate: int, device: str, codec: Any) -> None:
            async with Microphone(rate, device, block=voices[rate].block, buffer=PLENTY) as mic:
                heard = Heard(mic, 30)
                async with tokenize(heard, codec) as tokens:
                    items = [item async for item in tokens]
                stats = mic.stats()
            assert mic.name == device
            # As it should be: the device had 30 s and more, all of it came, and its codes are the offline ones.
            received = stats.samples + stats.lost
            assert 30 * rate <= received < 32 * rate
            assert heard.misplaced(voices[rate].pcm) == 0
            assert [item for item in items if isinstance(item, Gap)] == heard.gaps
            assert sum(gap.samples for gap in heard.gaps) == stats.lost and len(heard.gaps) == stats.gaps
            offline = [codec.encode(signal, sample_rate=rate) for signal in heard.signals()]
            live = codes_of(items)
            assert live.shape[1] > 2500 and np.array_equal(live, np.concatenate(offline, axis=1))
            assert stats.drift_ppm is not None and abs(stats.drift_ppm) < 5000

        causal, symmetric = (codec_of(minute((2, 4, 8, 8), causal=causal)) for causal in (True, False))
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(44_100, "default", causal))
            group.create_task(listen(48_000, "studio", symmetric))


@pytest.mark.asyncio
@pytest.mark.parametrize("lost", [0.2, 0.7])
async def test_a_device_that_loses_samples_and_says_nothing(lost: float) -> None:
    blocks = round(lost * 100)
    with fifo(lose=(100 * BLOCK, blocks * BLOCK)):
        async with microphone(buffer=PLENTY) as mic:
            heard = Heard(mic, 2 + lost)
            async with tokenize(heard, CODEC) as tokens:
                items = [item async for item in tokens]
    gap = max(heard.gaps, key=lambda gap: gap.samples)
    assert abs(gap.position - 100 * BLOCK) <= BLOCK and "lost on the way" in gap.reason
    assert gap.samples == pytest.approx(lost * RATE, abs=0.1 * RATE)
    # What came after the gap is what the device had after it.
    before, after = (np.concatenate(run) for run in runs(heard.items))
    first = int(np.flatnonzero(after[0] == HEARD)[0])
    assert first == (100 + blocks) * BLOCK and np.array_equal(HEARD[first : first + len(after)], after)
    assert np.array_equal(HEARD[100 * BLOCK - len(before) : 100 * BLOCK], before)
    whole = np.concatenate([CODEC.encode(signal) for signal in heard.signals()], axis=1)
    assert np.array_equal(codes_of(items), whole)
    last = [item for item in items if isinstance(item, Frames)][-1]  # the clock stayed true
    end = last.time + last.codes.shape[1] * CODEC.hop_length / RATE
    behind = end - (mic.stats().samples + mic.stats().lost) / RATE  # the last hop is filled up
    assert -1e-9 < behind < CODEC.hop_length / RATE


def runs(items: list[Any]) -> list[list[np.ndarray]]:
    """The blocks between gaps of more than 0.1 s; a shorter one could be this machine's own."""
    found: list[list[np.ndarray]] = [[]]
    for item in items:
        if not isinstance(item, Gap):
            found[-1].append(item)
        elif item.samples > RATE // 10:
            found.append([])
    return found


# ------------------------------------------------------------------ stalls


@pytest.mark.asyncio
async def test_an_event_loop_that_is_blocked_for_a_second_loses_nothing() -> None:
    with fifo():
        async with microphone() as mic:  # two seconds are kept
            heard = Heard(mic, 2.5)
            async with tokenize(heard, CODEC) as tokens:
                items = [await anext(tokens)]
                await asyncio.sleep(0.3)
                time.sleep(1)
                items += [item async for item in tokens]
        stats = mic.stats()
    assert (stats.overruns, stats.lost, heard.gaps) == (0, 0, [])
    assert heard.misplaced(HEARD) == 0
    assert max(len(item) for item in heard.items) > 0.9 * RATE  # taken up at once
    assert np.array_equal(codes_of(items), CODEC.encode(np.concatenate(heard.items)))


@pytest.mark.asyncio
async def test_a_reader_that_stalls_for_five_seconds_finds_a_gap_where_samples_were_lost() -> None:
    with fifo():
        async with microphone(buffer=0.5) as mic:
            heard = Heard(mic, 7)
            async with tokenize(heard, CODEC, queue_size=4) as tokens:
                items = [await anext(tokens)]
                await asyncio.sleep(5)
                items += [item async for item in tokens]
        stats = mic.stats()
    assert stats.overruns >= 1 and stats.gaps == len(heard.gaps)
    assert stats.lost > 3 * RATE and sum(gap.samples for gap in heard.gaps) == stats.lost
    assert all("overrun" in gap.reason for gap in heard.gaps)
    assert heard.misplaced(HEARD) == 0  # to the sample: what is missing is known
    assert [item for item in items if isinstance(item, Gap)] == heard.gaps
    whole = np.concatenate([CODEC.encode(signal) for signal in heard.signals()], axis=1)
    assert np.array_equal(codes_of(items), whole)


@pytest.mark.asyncio
async def test_a_device_that_holds_its_breath_loses_nothing() -> None:
    with fifo() as device:
        async with microphone(buffer=PLENTY) as mic:
            heard = Heard(mic, 2)
            async with tokenize(heard, CODEC) as tokens:
                await anext(tokens)
                device.freeze()
                await asyncio.sleep(0.4)
                device.thaw()
                assert [item async for item in tokens]
    assert heard.gaps == [] and heard.misplaced(HEARD) == 0


# ------------------------------------------------------------------ devices that go away


@pytest.mark.asyncio
async def test_a_device_that_vanishes_says_so_after_its_last_sample_and_can_be_opened_again() -> None:
    with Pulse() as server:
        await listen_once(Microphone(RATE))
        with nothing_left():
            async with Microphone(48_000) as mic:
                heard, items = Heard(mic), []
                async with tokenize(heard, CODEC) as tokens:
                    with pytest.raises(DeviceError, match="vanished after sample") as caught:
                        async for item in tokens:
                            items.append(item)
                            server.kill()
            signal = np.concatenate(heard.items)
            assert f"after sample {len(signal)} " in str(caught.value)
            assert np.array_equal(codes_of(items), CODEC.encode(signal, sample_rate=48_000))
            with pytest.raises(DeviceError):
                async with Microphone():
                    pass
        server.again()
        with nothing_left():
            async with Microphone() as mic, contextlib.aclosing(aiter(mic)) as blocks:
                assert len(await anext(blocks)) and mic.sample_rate == 44_100


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [Pulse, fifo], ids=["server", "device"])
async def test_a_device_that_freezes_is_given_up_after_a_second(make: Any) -> None:
    with make() as device:
        before = threading.active_count()
        heard = None
        async with asyncio.timeout(60), Microphone(RATE, block=BLOCK) as mic:
            heard = Heard(mic)
            with pytest.raises(DeviceError, match=r"gave nothing for 1 s after sample \d+"):
                async with tokenize(heard, CODEC) as tokens:
                    async for _ in tokens:
                        device.freeze()
        assert sum(len(item) for item in heard.items) == mic.stats().samples > 0
        # Another one is told that PortAudio hangs, and does not hang with it.
        with pytest.MonkeyPatch.context() as patch, pytest.raises(DeviceError, match="did not come to an end"):
            patch.setattr(portaudio, "OPEN_SECONDS", 0.2)
            async with asyncio.timeout(60), microphone():
                pass
        device.thaw()
        for thread in threading.enumerate():  # the calls that hung come back, and undo what nobody wants any more
            if thread.name.startswith("streamrvq"):
                thread.join(60)
        await asyncio.sleep(0)
        for thread in threading.enumerate():
            if thread.name.startswith("streamrvq"):
                thread.join(60)
        assert threading.active_count() <= before and not portaudio._streams


@pytest.mark.asyncio
async def test_a_cancellation_is_not_kept_waiting_by_a_frozen_device() -> None:
    with Pulse() as server:

        async def read() -> None:
            async with Microphone() as mic, tokenize(mic, CODEC) as tokens:
                async for _ in tokens:
                    reached.set()

        reached = asyncio.Event()
        task = asyncio.create_task(read())
        async with asyncio.timeout(60):
            await reached.wait()
            server.freeze()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        server.thaw()
        while portaudio._streams:
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ what cannot be opened


@pytest.mark.asyncio
async def test_a_rate_that_the_device_refuses() -> None:
    with Pulse(), pytest.raises(DeviceError, match="refuses 700000 Hz; leave the rate out for its own, 44100 Hz"):
        async with Microphone(700_000):
            pass


@pytest.mark.asyncio
async def test_channels_that_the_device_does_not_have() -> None:
    with Pulse(), pytest.raises(DeviceError, match="refuses 100 channels; it has 32"):
        async with Microphone(channel=99):
            pass


@pytest.mark.asyncio
async def test_no_device() -> None:
    with Device(), nothing_left():
        with pytest.raises(DeviceError, match="no sound device to listen to; plug one in"):
            async with Microphone():
                pass
        with pytest.raises(DeviceError, match="no sound device"):
            await portaudio.input_devices()


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        ("sys.modules['sounddevice'] = None", "pip install sounddevice"),
        ("import ctypes.util; ctypes.util.find_library = lambda name: None", "apt-get install libportaudio2"),
    ],
)
def test_no_sounddevice_and_no_portaudio(break_it: str, words: str) -> None:
    code = f"""
import asyncio, sys
{break_it}
import streamrvq
async def main():
    try:
        async with streamrvq.Microphone(): pass
    except streamrvq.DeviceError as error:
        print(error)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and words in done.stdout, done


def test_devices_are_found_by_index_and_by_name() -> None:
    def device(index: int, name: str, default: bool = False) -> InputDevice:
        return InputDevice(index, name, "ALSA", 1, 48_000, 0.01, 0.04, default)

    devices = [device(0, "USB Mic"), device(3, "USB Mic 2"), device(4, "Built-in", True)]
    assert find(devices, None).index == 4
    assert find(devices[:2], None).index == 0
    assert find(devices, 3).index == 3
    assert find(devices, "built").index == 4
    assert find(devices, "usb mic").index == 0  # the whole name goes before a part of one
    assert find(devices, "USB Mic 2, ALSA").index == 3
    with pytest.raises(DeviceError, match="2 devices match input device 'usb'; there are: 0 USB Mic, ALSA; 3 "):
        find(devices, "usb")
    for wanted in (1, "Line"):
        with pytest.raises(DeviceError, match="there is no input device"):
            find(devices, wanted)


def test_settings_that_make_no_sense() -> None:
    for settings, words in [
        ({"rate": 0}, "rate is 0"), ({"block": 0}, "block is 0"), ({"channel": -1}, "channel is -1"),
        ({"channel": 1, "downmix": True}, "with downmix"), ({"buffer": 0}, "buffer is 0"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=words):
            Microphone(**settings)


# ------------------------------------------------------------------ channels, and the ways to leave


@pytest.mark.asyncio
@pytest.mark.parametrize("settings", [{"channel": 1}, {"downmix": True}])
async def test_a_channel_or_the_mean_of_two_when_asked_for(settings: dict[str, Any]) -> None:
    stereo = np.stack([HEARD[: 4 * RATE], noise(4 * RATE, 1)], axis=1)
    mono = stereo[:, 1] if "channel" in settings else stereo.astype(np.float64).mean(axis=1).astype(np.float32)
    with Fifo(Voice(stereo, RATE, BLOCK)):
        async with microphone(**settings) as mic:
            heard = Heard(mic, 0.3)
            async for _ in heard:
                pass
    assert heard.misplaced(mono) == 0


@pytest.mark.asyncio
async def test_every_way_to_leave_leaves_nothing() -> None:
    with fifo():
        await listen_once(microphone())
        with nothing_left():
            async with microphone():  # opened, never listened to
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
    assert mic.start_time is None and mic.sample_rate == RATE
    with pytest.raises(StreamClosedError, match="async with"):
        mic.stats()
    with pytest.raises(StreamClosedError, match="async with"):
        await anext(aiter(mic))


def test_a_loop_that_is_closed_over_its_head_ends_the_callbacks() -> None:
    async def begin() -> None:
        await mic.__aenter__()
        items.append(aiter(mic))
        await anext(items[0])

    with fifo():
        mic, items = microphone(), []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        stream = mic._stream
        loop.close()  # without a word to anybody
        assert stream is not None
        while stream.active:
            time.sleep(0.01)
        stream.close_now()
        del items[0]
        assert not portaudio._streams


@pytest.mark.asyncio
async def test_the_figures_of_a_capture() -> None:
    with fifo():
        async with microphone() as mic:
            began = time.monotonic()
            heard = Heard(mic, 1)
            heard_mic: Any = heard
            async with tokenize(mic, CODEC) as tokens:
                async for item in tokens:
                    if isinstance(item, Frames) and item.time > 0.5:
                        mic.stop()
                figures = tokens.stats()
            ended = time.monotonic()
        assert heard_mic.items == []
    stats = mic.stats()
    assert stats.samples == figures.samples == stats.blocks * BLOCK and stats.samples >= RATE // 2
    assert (stats.lost, stats.gaps, stats.overruns, stats.overflows, stats.waiting) == (0, 0, 0, 0, 0)
    assert 0 < stats.device_latency < 1 and stats.drift_ppm is None
    assert mic.start_time is not None and began - 0.1 < mic.start_time < ended
    # A sample cannot be on the queue before it was captured.
    assert figures.capture_latency_p50 is not None and figures.capture_latency_p50 > 0
