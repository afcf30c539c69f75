"""A loudspeaker that is choosy, dry, gone or hung: a device made of Python takes PortAudio's place."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from streamrvq import DeviceError, StreamClosedError
from streamrvq.live.playback import speaker
from streamrvq.live.playback.speaker import Speaker
from streamrvq.live.sources import portaudio
from streamrvq.live.sources.devices import SoundDevice

DEVICE = SoundDevice(3, "box", "ALSA", 2, 48_000, 0.01, 0.1, True)


class PortAudioError(Exception):
    pass


class Sound:
    """PortAudio with one device, which takes only some rates and numbers of channels."""

    PortAudioError = PortAudioError

    def __init__(self, rates: set[int], channels: set[int]) -> None:
        self.rates, self.channels, self.blocks, self.steps = rates, channels, list[np.ndarray](), list[str]()
        self.error: Exception | None = None
        self.busy = 0  # how many starts are refused
        self.hang = threading.Event()

    def OutputStream(self, samplerate: int, channels: int, **_: Any) -> Sound:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate", -9997)
        if channels not in self.channels:
            raise PortAudioError("Invalid number of channels", -9998)
        return self

    latency = 0.1

    def start(self) -> None:
        self.steps.append("start")
        if self.busy:
            self.busy -= 1
            raise PortAudioError("Device unavailable", -9985)

    def write(self, block: np.ndarray) -> bool:
        if self.error is not None:
            raise self.error
        self.blocks.append(block)
        return len(self.blocks) in (1, 3)

    def stop(self, ignore_errors: bool = True) -> None:
        self.steps.append("stop")

    def abort(self, ignore_errors: bool = True) -> None:
        self.steps.append("abort")

    def close(self, ignore_errors: bool = True) -> None:
        self.steps.append("close")


def put(monkeypatch: pytest.MonkeyPatch, sound: Sound) -> Sound:
    monkeypatch.setattr(speaker, "load", lambda: sound)
    monkeypatch.setattr(portaudio, "list_devices", lambda _: [DEVICE])
    return sound


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("rates", "channels", "wanted"),
    [({44_100}, {1}, (44_100, 1)), ({44_100}, {2}, (44_100, 2)), ({48_000}, {2}, (48_000, 2)),
     ({44_100, 48_000}, {1, 2}, (44_100, 1))],
)  # fmt: skip
async def test_a_choosy_device_gets_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, rates: set[int], channels: set[int], wanted: tuple[int, int]
) -> None:
    sound = put(monkeypatch, Sound(rates, channels))
    async with Speaker(44_100) as opened:
        assert opened.sample_rate == wanted[0]
        await opened.play(np.arange(10_000, dtype=np.float32))
        await opened.finish()
        assert sound.steps == ["start", "stop"]
    heard = np.concatenate(sound.blocks)
    assert heard.shape == (10_000, wanted[1])
    assert (heard == np.arange(10_000)[:, None]).all()
    assert opened.dry == 1  # the device had nothing before the first block either, which does not count
    assert not portaudio.streams


@pytest.mark.asyncio
async def test_a_device_that_takes_nothing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, Sound(set(), set()))
    with pytest.raises(DeviceError, match=r"box cannot be opened \(Invalid sample rate\)"):
        await Speaker(44_100).__aenter__()


@pytest.mark.asyncio
async def test_what_does_not_start_is_closed_before_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = put(monkeypatch, Sound({44_100}, {1, 2}))
    sound.busy = 1
    async with Speaker(44_100):
        assert sound.steps == ["start", "close", "start"]
    sound.busy = 2
    with pytest.raises(DeviceError, match="in use by another program"):
        await Speaker(44_100).__aenter__()
    assert sound.steps[-4:] == ["start", "close", "start", "close"]
    assert not portaudio.streams


@pytest.mark.asyncio
async def test_a_speaker_is_entered_once_unless_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = put(monkeypatch, Sound({44_100}, {1}))
    sound.busy = 1
    opened = Speaker(44_100)
    with pytest.raises(DeviceError, match="in use"):
        await opened.__aenter__()
    first, second = await asyncio.gather(opened.__aenter__(), opened.__aenter__(), return_exceptions=True)
    assert first is opened
    assert isinstance(second, StreamClosedError)
    await opened.__aexit__(None, None, None)
    with pytest.raises(StreamClosedError, match="entered before"):
        await opened.__aenter__()
    assert not portaudio.streams


@pytest.mark.asyncio
async def test_a_device_that_is_gone_is_one_sentence_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = put(monkeypatch, Sound({44_100}, {1}))
    with pytest.raises(DeviceError, match="box plays no more"):
        async with Speaker(44_100) as opened:
            await opened.play(np.zeros(10, np.float32))
            sound.error = PortAudioError("Unanticipated host error", -9999)
            await opened.play(np.zeros(10, np.float32))
    assert sound.steps[-1] == "close"
    assert not portaudio.streams


@pytest.mark.asyncio
async def test_a_device_that_hangs_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = put(monkeypatch, Sound({44_100}, {1}))
    ended = threading.Event()
    with pytest.raises(DeviceError, match="playing through box did not come to an end"):
        async with Speaker(44_100) as opened:
            monkeypatch.setattr(speaker, "OPEN_SECONDS", 0.1)
            monkeypatch.setattr(speaker, "CLOSE_SECONDS", 0.1)
            monkeypatch.setattr(sound, "write", lambda _: ended.wait())
            await opened.play(np.zeros(10, np.float32))
    ended.set()
    with portaudio._lock:
        portaudio.streams.clear()


@pytest.mark.asyncio
async def test_a_speaker_has_to_be_entered() -> None:
    with pytest.raises(DeviceError, match="async with"):
        await Speaker(44_100).play(np.zeros(10, np.float32))
