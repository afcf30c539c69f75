"""A stream from an input device, opened so that a refusal is a sentence.

Knows: PortAudio's errors. Does not know: what the samples are for, deadlines (portaudio.py).
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import DeviceError, InputError
from ...system.foreign_data import shown
from ...system.quiet import quiet_libraries
from .devices import SoundDevice
from .portaudio import OPEN_SECONDS, OpenStream, call, list_outdated, listed_device, load

UNAVAILABLE = -9985  #: PortAudio's number of that error


async def open_input(
    wanted: int | str | None, rate: int | None, channels: int, block: int, longest: float,
    on_block: Callable[..., None], on_finished: Callable[[], None],
) -> tuple[OpenStream, int]:  # fmt: skip
    """Open a stream without starting it. Returns the stream and its rate, Hz: ``rate``, or the device's default.

    Args:
        wanted: the device, as for `find_device`.
        rate: Hz; None: the device's default.
        channels: how many to capture.
        block: samples per call of ``on_block``; 0: what suits the device, and may vary.
        longest: seconds that such a block may last.
        on_block: PortAudio's callback, called from its thread: ``(float32 [n, channels], n, times, flags)``.
        on_finished: called from that thread when the stream has ended, for whatever reason.

    Raises:
        InputError: a block lasts too long.
        DeviceError: there is no such device, it refuses, or the call hangs.
    """

    def work() -> tuple[OpenStream, int]:
        device = listed_device(wanted, "input")
        sound, used_rate = load(), rate or device.default_rate
        if block > longest * used_rate:
            raise InputError(
                f"block is {shown(block)} samples, which last {block / used_rate:g} s at {used_rate} Hz; wanted at "
                f"most {longest:g} s: ask for a shorter one"
            )
        try:
            with quiet_libraries():
                stream = sound.InputStream(
                    samplerate=used_rate, blocksize=block, device=device.index, channels=channels, dtype="float32",
                    latency="low", callback=on_block, finished_callback=on_finished,
                )  # fmt: skip
        except sound.PortAudioError as error:
            list_outdated.set()
            raise DeviceError(refusal(device, used_rate, channels, error)) from None
        return OpenStream(sound, device, stream), used_rate

    return await call(work, OPEN_SECONDS, "opening the sound device", lambda opened: opened[0].close_now())


def in_use(device: SoundDevice) -> str:
    """What `UNAVAILABLE` means."""
    return f"{device.name} is in use by another program, or switched off; end that program, or choose another device"


def refusal(device: SoundDevice, rate: int, channels: int, error: Exception) -> str:
    """PortAudio's error as a sentence that says what to do."""
    code = error.args[1] if len(error.args) > 1 else None
    if code == -9997:
        return f"{device.name} refuses {rate} Hz; leave the rate out for its own, {device.default_rate} Hz"
    if code == -9998:
        if device.channels == 1:
            return f"{device.name} refuses {channels} channels; it has 1: leave channel and downmix out"
        return (
            f"{device.name} refuses {channels} channels; it has {device.channels}: choose one, or have them mixed down"
        )
    if code == UNAVAILABLE:
        return in_use(device)
    reason = str(error.args[0] if error.args else error)
    return f"{device.name} cannot be opened at {rate} Hz ({reason}); choose another device, or plug it in again"
