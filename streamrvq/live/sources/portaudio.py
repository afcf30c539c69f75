"""Calls into PortAudio. Each runs in a thread of its own, one at a time, with a deadline.

A frozen sound server never answers, neither when a device is opened nor when it is closed. PortAudio offers no way out,
and its abort may cancel a thread that is inside Python. So a call that does not return in time is abandoned. The caller
gets an error, a stream that is opened too late is closed again, and the process may end without waiting. Until the call
returns, all other calls fail too, because PortAudio is not thread-safe.

PortAudio lists the devices once, when it starts. After a device was lost, not found or refused, it is restarted before
the next one is opened, provided that no stream of this module is open.

Knows: sounddevice (imported on the first call, because the import queries every device), PortAudio's errors. Does not
know: what the samples are for.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import DeviceError
from ..worker import wait_through_cancellation
from .devices import InputDevice, find_device

T = TypeVar("T")

#: Seconds that a call may take; opening a Bluetooth headset takes some.
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 2.0

_INSTALL = "install it: apt-get install libportaudio2 (Debian, Ubuntu), dnf install portaudio, brew install portaudio"
_lock = threading.Lock()  # held during every call into PortAudio
_streams: set[Any] = set()  # the open streams of this module
_list_outdated = threading.Event()  # PortAudio's list of devices may be out of date


def _load() -> Any:
    """The module sounddevice, with PortAudio running. Call it with the lock held."""
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(
            f"microphones need the package sounddevice ({error}); install it: pip install sounddevice"
        ) from None
    except OSError as error:
        raise DeviceError(f"PortAudio was not found ({error}); {_INSTALL}") from None
    except Exception as error:  # its class is in the module that failed to load
        raise DeviceError(f"PortAudio does not start ({error}); is the sound server running?") from None
    _keep_loaded(sounddevice._libname)
    if _list_outdated.is_set() and not _streams:
        sounddevice._terminate()
        sounddevice._initialize()
        _list_outdated.clear()
    return sounddevice


@functools.cache
def _keep_loaded(library: str) -> None:
    """Load the library once more through ctypes, which never unloads it. At exit Python would otherwise unload it while
    a thread may still hang in it."""
    ctypes.CDLL(library)


def refresh_devices() -> None:
    """A device vanished: let PortAudio list the devices again before the next call that needs them."""
    _list_outdated.set()


def callback_abort() -> BaseException:
    """The exception that a stream callback raises so as not to be called again."""
    import sounddevice

    return sounddevice.CallbackAbort()  # type: ignore[no-any-return]


def _exit_handler(register: bool) -> None:
    """Let the process wait for PortAudio at exit, or not. It must not wait while a call hangs."""
    import sys

    if (handler := getattr(sys.modules.get("sounddevice"), "_exit_handler", None)) is not None:
        (atexit.register if register else atexit.unregister)(handler)


async def call(work: Callable[[], T], seconds: float, what: str, undo: Callable[[T], None] | None = None) -> T:
    """Run ``work`` in a thread of its own, once no other call is running.

    A cancellation is raised after the call has returned or the deadline has passed.

    Args:
        work: the call.
        seconds: its deadline.
        what: the action, for the error message.
        undo: releases the result if the caller is gone when it comes.

    Raises:
        DeviceError: the call did not return in time.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    abandoned = threading.Event()

    def expire() -> None:
        if not future.done():
            abandoned.set()
            _exit_handler(register=False)
            future.set_exception(DeviceError(
                f"{what} did not come to an end within {seconds:g} s; the sound server hangs: restart it "
                "(systemctl --user restart pipewire pulseaudio), then try again"
            ))  # fmt: skip

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # the deadline passed while this call was scheduled
            if error is None:
                release(result)  # type: ignore[arg-type]
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def release(result: T) -> None:
        if undo is not None:
            threading.Thread(target=_locked, args=(lambda: undo(result),), name="streamrvq-undo", daemon=True).start()

    def run() -> None:
        result, error = None, None
        try:
            result = _locked(work)
        except BaseException as caught:
            error = caught
        if abandoned.is_set():
            _exit_handler(register=True)
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop is closed
            if error is None:
                release(result)  # type: ignore[arg-type]

    thread = threading.Thread(target=run, name="streamrvq-portaudio", daemon=True)
    deadline = loop.call_later(seconds, expire)
    thread.start()
    try:
        await wait_through_cancellation(future)
    except asyncio.CancelledError:
        if undo is not None and future.exception() is None:
            unwanted = future.result()
            await call(lambda: undo(unwanted), CLOSE_SECONDS, what)
        raise
    finally:
        deadline.cancel()
        if not abandoned.is_set():
            thread.join()  # the result is here: this takes microseconds
    return future.result()


def _locked(work: Callable[[], T]) -> T:
    with _lock:
        return work()


async def input_devices() -> list[InputDevice]:
    """All input devices.

    Raises:
        DeviceError: sounddevice or PortAudio is missing, does not answer, or finds no input device.
    """
    return await call(_list_devices, OPEN_SECONDS, "asking for the sound devices")


def _list_devices() -> list[InputDevice]:
    sound = _load()
    hosts, preferred = sound.query_hostapis(), sound.default.device[0]
    if preferred < 0:
        preferred = next((host["default_input_device"] for host in hosts if host["default_input_device"] >= 0), -1)
    devices = [
        InputDevice(
            info["index"], info["name"], hosts[info["hostapi"]]["name"], info["max_input_channels"],
            round(info["default_samplerate"]), info["default_low_input_latency"], info["default_high_input_latency"],
            info["index"] == preferred,
        )
        for info in sound.query_devices() if info["max_input_channels"] > 0
    ]  # fmt: skip
    if not devices:
        _list_outdated.set()
        raise DeviceError(
            "there is no sound device to listen to; plug one in, or start the sound server, and try again"
        )
    return devices


class InputStream:
    """An open input stream. `start` and `close` wait no longer than their deadlines.

    Attributes:
        device: that it captures from.
        latency: seconds, as PortAudio states it.
    """

    def __init__(self, sound: Any, device: InputDevice, stream: Any) -> None:
        self._sound, self._stream = sound, stream
        self.device, self.latency = device, float(stream.latency)

    @property
    def active(self) -> bool:
        """False once it has ended by itself or was stopped."""
        return bool(self._stream.active)

    async def start(self) -> None:
        """Start the capture.

        Raises:
            DeviceError: the device refuses, or the call hangs.
        """
        await call(self._start, OPEN_SECONDS, f"starting {self.device.name}")

    def _start(self) -> None:
        try:
            self._stream.start()
        except self._sound.PortAudioError as error:
            raise DeviceError(f"{self.device.name} cannot be started ({error}); plug it in again") from None

    async def close(self) -> None:
        """Stop and close.

        Raises:
            DeviceError: the call hangs. The stream is closed once the call returns.
        """
        await call(self.close_now, CLOSE_SECONDS, f"closing {self.device.name}")

    def close_now(self) -> None:
        """Stop and close. Call it with the lock held."""
        try:
            for step in (self._stream.stop, self._stream.close):
                step(ignore_errors=True)
        finally:
            _streams.discard(self)


async def open_input(
    wanted: int | str | None, rate: int | None, channels: int, block: int, on_block: Callable[..., None],
    on_finished: Callable[[], None],
) -> tuple[InputStream, int]:  # fmt: skip
    """Open a stream without starting it. Returns the stream and its rate, Hz: ``rate``, or the device's default.

    Args:
        wanted: the device, as for `find_device`.
        rate: Hz; None: the device's default.
        channels: how many to capture.
        block: samples per call of ``on_block``; 0: what suits the device, and may vary.
        on_block: PortAudio's callback, called from its thread: ``(float32 [n, channels], n, times, flags)``.
        on_finished: called from that thread when the stream has ended, for whatever reason.

    Raises:
        DeviceError: there is no such device, it refuses, or the call hangs.
    """

    def work() -> tuple[InputStream, int]:
        try:
            device = find_device(_list_devices(), wanted)
        except DeviceError:
            _list_outdated.set()
            raise
        sound, used_rate = _load(), rate or device.default_rate
        try:
            stream = sound.InputStream(
                samplerate=used_rate, blocksize=block, device=device.index, channels=channels, dtype="float32",
                latency="low", callback=on_block, finished_callback=on_finished,
            )  # fmt: skip
        except sound.PortAudioError as error:
            _list_outdated.set()
            raise DeviceError(_refusal(device, used_rate, channels, error)) from None
        opened = InputStream(sound, device, stream)
        _streams.add(opened)
        return opened, used_rate

    return await call(work, OPEN_SECONDS, "opening the sound device", lambda opened: opened[0].close_now())


def _refusal(device: InputDevice, rate: int, channels: int, error: Exception) -> str:
    """PortAudio's error as a sentence that says what to do."""
    code = error.args[1] if len(error.args) > 1 else None
    if code == -9997:
        return f"{device.name} refuses {rate} Hz; leave the rate out for its own, {device.default_rate} Hz"
    if code == -9998:
        return (
            f"{device.name} refuses {channels} channels; it has {device.channels}: choose one, or have them mixed down"
        )
    if code == -9985:
        return (
            f"{device.name} is in use by another program, or switched off; end that program, or choose another device"
        )
    reason = str(error.args[0] if error.args else error)
    return f"{device.name} cannot be opened at {rate} Hz ({reason}); choose another device, or plug it in again"
