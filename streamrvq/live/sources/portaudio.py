"""PortAudio, kept at arm's length: every call into it runs in a thread of its own, one at a time, with a deadline.

A sound server that is frozen never answers: not when a device is opened, not when it is closed. PortAudio has no way
out of that, and cancelling its thread (its abort) may hit one that is inside Python. So a call that does not come back
in time is left to itself: whoever waits gets an error, a stream that still comes to be opened is closed again, and the
process may end without waiting. Until the call comes back, others get an error too, for PortAudio is not thread-safe.

PortAudio knows the devices that there were when it started. After one was lost, not found or refused, it is started
anew before the next is asked for, if no stream of this module is open then.

Knows: sounddevice (loaded on the first call: loading it asks every device), PortAudio's errors. Does not know: what the
samples are for.
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
from .devices import InputDevice, find

T = TypeVar("T")

#: Seconds that a call may take; opening a Bluetooth headset takes some.
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 2.0

_INSTALL = "install it: apt-get install libportaudio2 (Debian, Ubuntu), dnf install portaudio, brew install portaudio"
_turn = threading.Lock()  # whose turn it is in PortAudio
_streams: set[Any] = set()  # open ones of this module
_stale = threading.Event()  # a device was lost


def _load() -> Any:
    """sounddevice, with PortAudio running. In a thread with the turn."""
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(
            f"microphones need the package sounddevice ({error}); install it: pip install sounddevice"
        ) from None
    except OSError as error:
        raise DeviceError(f"PortAudio was not found ({error}); {_INSTALL}") from None
    except Exception as error:  # its class is in the module that did not load
        raise DeviceError(f"PortAudio does not start ({error}); is the sound server running?") from None
    _stay_loaded(sounddevice._libname)
    if _stale.is_set() and not _streams:
        sounddevice._terminate()
        sounddevice._initialize()
        _stale.clear()
    return sounddevice


@functools.cache
def _stay_loaded(library: str) -> None:
    """Python unloads the library when it ends: under the feet of a thread that still hangs in it. Not so ctypes."""
    ctypes.CDLL(library)


def lost() -> None:
    """A device vanished: what PortAudio knows of devices is out of date."""
    _stale.set()


def end_of_stream() -> BaseException:
    """What a callback raises to be called no more."""
    import sounddevice

    return sounddevice.CallbackAbort()  # type: ignore[no-any-return]


def _exit_handler(register: bool) -> None:
    """Whether the process waits for PortAudio when it ends; it must not while a call hangs."""
    import sys

    if (handler := getattr(sys.modules.get("sounddevice"), "_exit_handler", None)) is not None:
        (atexit.register if register else atexit.unregister)(handler)


async def call(work: Callable[[], T], seconds: float, what: str, undo: Callable[[T], None] | None = None) -> T:
    """Run ``work`` in a thread, when no other call is under way; ``undo`` takes its result back if nobody wants it.

    A cancellation is raised when the call has come back, or the deadline has passed.

    Raises:
        DeviceError: it did not come back in time (``what`` says what it was to do).
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    given_up = threading.Event()

    def late() -> None:
        if not future.done():
            given_up.set()
            _exit_handler(register=False)
            future.set_exception(DeviceError(
                f"{what} did not come to an end within {seconds:g} s; the sound server hangs: restart it "
                "(systemctl --user restart pipewire pulseaudio), then try again"
            ))  # fmt: skip

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # the deadline passed while this was on its way
            if error is None:
                unwanted(result)  # type: ignore[arg-type]
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def unwanted(result: T) -> None:
        if undo is not None:
            threading.Thread(target=_in_turn, args=(lambda: undo(result),), name="streamrvq-undo", daemon=True).start()

    def body() -> None:
        result, error = None, None
        try:
            result = _in_turn(work)
        except BaseException as caught:
            error = caught
        if given_up.is_set():
            _exit_handler(register=True)
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop is closed
            if error is None:
                unwanted(result)  # type: ignore[arg-type]

    thread = threading.Thread(target=body, name="streamrvq-portaudio", daemon=True)
    deadline = loop.call_later(seconds, late)
    thread.start()
    try:
        await wait_through_cancellation(future)
    except asyncio.CancelledError:
        if undo is not None and future.exception() is None:
            taken = future.result()
            await call(lambda: undo(taken), CLOSE_SECONDS, what)
        raise
    finally:
        deadline.cancel()
        if not given_up.is_set():
            thread.join()  # it has said its last word: this takes microseconds
    return future.result()


def _in_turn(work: Callable[[], T]) -> T:
    with _turn:
        return work()


async def input_devices() -> list[InputDevice]:
    """All that can be listened to.

    Raises:
        DeviceError: no sounddevice, no PortAudio, no answer, or no such device.
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
        _stale.set()
        raise DeviceError(
            "there is no sound device to listen to; plug one in, or start the sound server, and try again"
        )
    return devices


class Stream:
    """An open input stream. `stop` and `close` wait for no longer than their deadline."""

    def __init__(self, sound: Any, device: InputDevice, stream: Any) -> None:
        self._sound, self._stream = sound, stream
        self.device, self.latency = device, float(stream.latency)

    @property
    def active(self) -> bool:
        """False once it has ended by itself, or was stopped."""
        return bool(self._stream.active)

    async def start(self) -> None:
        await call(self._start, OPEN_SECONDS, f"starting {self.device.name}")

    def _start(self) -> None:
        try:
            self._stream.start()
        except self._sound.PortAudioError as error:
            raise DeviceError(f"{self.device.name} cannot be started ({error}); plug it in anew") from None

    async def close(self) -> None:
        """Stop and close.

        Raises:
            DeviceError: it hangs; the stream is closed when that ends.
        """
        await call(self.close_now, CLOSE_SECONDS, f"closing {self.device.name}")

    def close_now(self) -> None:
        """In a thread with the turn."""
        try:
            for step in (self._stream.stop, self._stream.close):
                step(ignore_errors=True)
        finally:
            _streams.discard(self)


async def open_input(
    wanted: int | str | None, rate: int | None, channels: int, block: int, heard: Callable[..., None],
    ended: Callable[[], None],
) -> tuple[Stream, int]:  # fmt: skip
    """Open, but not start; gives the stream and its rate (``rate``, or the device's default).

    Args:
        block: samples a call of ``heard``; 0: what suits the device, perhaps another number each time.
        heard: PortAudio's callback: ``(float32 [n, channels], n, times, flags)``, from a thread of PortAudio's.
        ended: called from such a thread when the stream has ended, for whatever reason.

    Raises:
        DeviceError: no device, or one that refuses.
    """

    def work() -> tuple[Stream, int]:
        try:
            device = find(_list_devices(), wanted)
        except DeviceError:
            _stale.set()
            raise
        sound, asked = _load(), rate or device.default_rate
        try:
            stream = sound.InputStream(
                samplerate=asked, blocksize=block, device=device.index, channels=channels, dtype="float32",
                latency="low", callback=heard, finished_callback=ended,
            )  # fmt: skip
        except sound.PortAudioError as error:
            _stale.set()  # the list may be out of date
            raise DeviceError(_refusal(device, asked, channels, error)) from None
        opened = Stream(sound, device, stream)
        _streams.add(opened)
        return opened, asked

    return await call(work, OPEN_SECONDS, "opening the sound device", lambda opened: opened[0].close_now())


def _refusal(device: InputDevice, rate: int, channels: int, error: Exception) -> str:
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
    return f"{device.name} cannot be opened at {rate} Hz ({reason}); choose another device, or plug it in anew"
