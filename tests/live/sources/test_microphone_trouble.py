"""The microphone in trouble: a blocked loop, a stalled reader, a device that vanishes, freezes or refuses."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from streamrvq import DeviceError, Gap, Microphone, tokenize
from streamrvq.live.sources import portaudio
from tests.support.listening import (
    BLOCK,
    CODEC,
    PLENTY,
    RATE,
    SIGNAL,
    RecordedSource,
    fifo,
    listen_once,
    microphone,
    patient,
)
from tests.support.patience import PATIENCE
from tests.support.service import until
from tests.support.shell import codes_of, nothing_left
from tests.support.virtual_sound import Device, Fifo, Pulse, Voice, restart_portaudio

__all__ = ["patient"]  # a fixture


@pytest.mark.asyncio
async def test_an_event_loop_that_is_blocked_for_a_second_loses_nothing() -> None:
    with fifo():
        async with microphone(buffer=PLENTY) as mic:
            source = RecordedSource(mic, 2.5)
            async with tokenize(source, CODEC) as tokens:
                items = [await anext(tokens)]
                until = time.monotonic() + PATIENCE
                while mic._ring.held < RATE and time.monotonic() < until:
                    time.sleep(0.01)  # so long the loop is blocked
                items += [item async for item in tokens]
        stats = mic.stats()
    assert (stats.overruns, stats.lost, source.gaps) == (0, 0, [])
    assert source.misplaced(SIGNAL) == 0
    assert max(len(item) for item in source.items) > 0.9 * RATE  # all that waited came in one block
    assert np.array_equal(codes_of(items), CODEC.encode(np.concatenate(source.items)))


@pytest.mark.asyncio
async def test_a_reader_that_stalls_for_seconds_gets_a_gap_where_samples_were_lost() -> None:
    with fifo():
        async with microphone(buffer=0.5) as mic:
            source = RecordedSource(mic, 7)
            async with tokenize(source, CODEC, queue_size=4) as tokens:
                items = [await anext(tokens)]
                await until(lambda: mic._ring.missing > 3 * RATE)
                items += [item async for item in tokens]
        stats = mic.stats()
    assert stats.overruns >= 1
    assert stats.gaps == len(source.gaps)
    assert stats.lost > 3 * RATE
    assert sum(gap.samples for gap in source.gaps) == stats.lost
    assert [gap for gap in source.gaps if "overrun" not in gap.reason] == []
    assert source.misplaced(SIGNAL) == 0  # to the sample: what is missing is known
    assert [item for item in items if isinstance(item, Gap)] == source.gaps
    whole = np.concatenate([CODEC.encode(signal) for signal in source.signals()], axis=1)
    assert np.array_equal(codes_of(items), whole)


@pytest.mark.asyncio
async def test_a_device_that_pauses_loses_nothing() -> None:
    with fifo() as device:
        async with microphone(buffer=PLENTY) as mic:
            source = RecordedSource(mic, 2)
            async with tokenize(source, CODEC) as tokens:
                await anext(tokens)
                device.freeze()
                await asyncio.sleep(0.4)
                device.thaw()
                assert [item async for item in tokens]
    assert source.gaps == []
    assert source.misplaced(SIGNAL) == 0


@pytest.mark.asyncio
async def test_a_device_that_vanishes_raises_after_its_last_sample_and_can_be_opened_again() -> None:
    with Pulse() as server:
        await listen_once(Microphone(RATE))
        with nothing_left():
            async with Microphone(48_000) as mic:
                source, items = RecordedSource(mic), []
                async with tokenize(source, CODEC) as tokens:
                    with pytest.raises(DeviceError, match="vanished after sample") as caught:
                        async for item in tokens:
                            items.append(item)
                            server.kill()
            signal = np.concatenate(source.signals())  # a busy server may lose samples; zeros stand for them
            assert f"after sample {len(signal)} " in str(caught.value)
            assert np.array_equal(codes_of(items), CODEC.encode(signal, sample_rate=48_000))
            with pytest.raises(DeviceError):
                async with Microphone():
                    pass
        server.again()
        with nothing_left():
            async with Microphone() as mic, contextlib.aclosing(aiter(mic)) as blocks:
                assert len(await anext(blocks))
                assert mic.sample_rate == 44_100


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [Pulse, fifo], ids=["server", "device"])
async def test_a_device_that_freezes_is_abandoned_after_a_second(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # it may be silent for as long as users' devices
    with make() as device:
        before = threading.active_count()
        source = None
        async with asyncio.timeout(PATIENCE), Microphone(RATE, block=BLOCK) as mic:
            source = RecordedSource(mic)
            with pytest.raises(DeviceError, match=r"gave nothing for 1 s after sample \d+"):
                async with tokenize(source, CODEC) as tokens:
                    async for _ in tokens:
                        device.freeze()
        assert sum(len(item) for item in source.items) == mic.stats().samples > 0
        # Opening another one reports that PortAudio hangs, and does not hang itself.
        with pytest.MonkeyPatch.context() as patch, pytest.raises(DeviceError, match=r"did not come to an end.*anew"):
            patch.setattr(portaudio, "OPEN_SECONDS", 0.2)
            async with asyncio.timeout(PATIENCE), microphone():
                pass
        device.thaw()
        for thread in threading.enumerate():  # the calls that hung return, and release what is no longer wanted
            if thread.name.startswith("streamrvq"):
                thread.join(PATIENCE)
        await asyncio.sleep(0)
        for thread in threading.enumerate():
            if thread.name.startswith("streamrvq"):
                thread.join(PATIENCE)
        assert threading.active_count() <= before
        assert not portaudio.streams


@pytest.mark.asyncio
async def test_a_cancellation_is_not_kept_waiting_by_a_frozen_device() -> None:
    with Pulse() as server:

        async def read() -> None:
            async with Microphone() as mic, tokenize(mic, CODEC) as tokens:
                async for _ in tokens:
                    reached.set()

        reached = asyncio.Event()
        task = asyncio.create_task(read())
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
            server.freeze()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        server.thaw()
        while portaudio.streams:
            await asyncio.sleep(0.01)


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
            await portaudio.sound_devices()


@pytest.mark.asyncio
async def test_a_device_that_is_plugged_in_is_found_at_once() -> None:
    """PortAudio lists the devices when it starts, and would not see one that comes later."""
    voice = Voice(SIGNAL, RATE, BLOCK)
    with Fifo(voice, second=voice) as device:
        both = device.config.read_text()
        device.config.write_text(both.splitlines()[0] + "\n")
        restart_portaudio()
        assert [found.name for found in await portaudio.sound_devices()] == ["default"]
        device.config.write_text(both)
        async with microphone():  # a restart of PortAudio would end it
            with pytest.raises(DeviceError, match=r"no input device 'second'; .*found once no device is open"):
                await microphone(device="second").__aenter__()
        portaudio.list_outdated.clear()
        async with microphone(device="second") as mic:
            assert mic.name == "second"
        with pytest.raises(DeviceError, match=r"no input device 'third'; there are: .*whole name$"):
            await microphone(device="third").__aenter__()


def test_a_stream_that_is_left_open_is_closed_before_portaudio_ends() -> None:
    """PortAudio would cancel its thread, and may wait for it for ever. Python calls at exit what came last first."""
    code = f"""
import asyncio, atexit, streamrvq
from streamrvq.live.sources import portaudio
atexit.register(lambda: print(len(portaudio.streams), "open"))
mic = streamrvq.Microphone({RATE}, block={BLOCK})
async def main():
    await mic.__aenter__()
    await anext(aiter(mic))
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
print(len(portaudio.streams), "open")
loop.close()
"""
    with fifo():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.split() == ["1", "open", "0", "open"], done
    assert done.returncode == 0, done


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
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done
    assert words in done.stdout, done
