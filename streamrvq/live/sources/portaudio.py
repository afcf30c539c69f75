"""Calls into PortAudio. Each runs in a thread of its own, one at a time, with a deadline.

A frozen sound server never answers, neither when a device is opened nor when it is closed. PortAudio offers no way out,
and its abort may cancel a thread that is inside Python. So a call that does not return in time is abandoned. The caller
gets an error, a stream that is opened too late is closed again, and the process may end without waiting. Until the call
returns, all other calls fail too, because PortAudio is not thread-safe. It may never return: libpulse can lock itself
out when PulseAudio is killed while a block of its shared memory is held. Then only a new process helps.

PortAudio lists the devices once, when it starts. After a device was lost or refused, it is restarted before the next
one is opened, and where a device is not found, at once: provided that no stream of this package is open.

Knows: sounddevice (imported on the first call, because the import queries every device), which devices there are. Does
not know: streams (input_stream.py, ../playback/), what the samples are for.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import DeviceError
from ...system.quiet import end_quiet, quiet_libraries
from ..tasks import wait_through_cancellation
from .devices import Direction, SoundDevice, find_device

T = TypeVar("T")

#: Seconds that a call may take; opening a Bluetooth headset takes some.
OPEN_SECONDS, CLOSE_SECONDS = 10.0, 2.0

_INSTALL = "install it: apt-get install libportaudio2 (Debian, Ubuntu), dnf install portaudio, brew install portaudio"
_lock = threading.Lock()  # held during every call into PortAudio
streams: set[Any] = set()  #: the open streams of this package
list_outdated = threading.Event()  #: PortAudio's list of devices may be out of date


def load() -> Any:
    """The module sounddevice, with PortAudio running. Call it with the lock held."""
    try:
        import sounddevice
    except ImportError as error:
        raise DeviceError(
            f"sound devices need the package sounddevice ({error}); install it: pip install sounddevice"
        ) from None
    except OSError as error:
        raise DeviceError(f"PortAudio was not found ({error}); {_INSTALL}") from None
    except Exception as error:  # its class is in the module that failed to load
        raise DeviceError(f"PortAudio does not start ({error}); is the sound server running?") from None
    _end_in_order()
    _keep_loaded(sounddevice._libname)
    _keep_alsa_quiet()
    if list_outdated.is_set() and not streams:
        sounddevice._terminate()
        sounddevice._initialize()
        list_outdated.clear()
    return sounddevice


@functools.cache
def _keep_loaded(library: str) -> None:
    """Load the library once more through ctypes, which never unloads it. At exit Python would otherwise unload it while
    a thread may still hang in it."""
    ctypes.CDLL(library)


@functools.cache
def _keep_alsa_quiet() -> None:
    """Let ALSA print nothing: it notes every device that it tries in vain, and that samples came late.

    Its handler of errors becomes a C function that changes nothing and takes no lock, whatever it is called with. One
    in Python would be called from PortAudio's thread, also while Python ends.
    """
    with contextlib.suppress(OSError, AttributeError):  # no ALSA here
        nothing = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p)
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(nothing)


def refresh_devices() -> None:
    """A device vanished: let PortAudio list the devices again before the next call that needs them."""
    list_outdated.set()


def callback_abort() -> BaseException:
    """The exception that a stream callback raises so as not to be called again."""
    import sounddevice

    return sounddevice.CallbackAbort()  # type: ignore[no-any-return]


def _exit_handler(register: bool) -> None:
    """Let the process wait for PortAudio at exit, or not. It must not wait while a call hangs."""
    import sys

    if (handler := getattr(sys.modules.get("sounddevice"), "_exit_handler", None)) is not None:
        for step in (handler, _close_what_is_open):  # at exit the last one comes first
            atexit.unregister(step)
            if register:
                atexit.register(step)


def _close_what_is_open() -> None:
    """At exit, before PortAudio ends: wait for a call, and close the streams that an interrupt has left open.

    PortAudio would cancel their threads, which may be inside Python, and wait for them for ever.
    """
    if not _lock.acquire(timeout=CLOSE_SECONDS):  # it is kept: no call may begin any more
        _exit_handler(register=False)
        return
    for opened in list(streams):
        opened.close_now()


@functools.cache
def _end_in_order() -> None:
    """Register what has to be done at exit, once PortAudio runs."""
    _exit_handler(register=True)


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
            end_quiet()  # the call may hang inside
            _exit_handler(register=False)
            future.set_exception(DeviceError(
                f"{what} did not come to an end within {seconds:g} s; the sound server hangs: restart it "
                "(systemctl --user restart pipewire pulseaudio), then try again; if this stays, start this program anew"
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


async def sound_devices(direction: Direction = "input") -> list[SoundDevice]:
    """All devices to listen to, or (``"output"``) to play through.

    Raises:
        DeviceError: sounddevice or PortAudio is missing, does not answer, or finds no such device.
    """
    return await call(lambda: list_devices(direction), OPEN_SECONDS, "asking for the sound devices")


def list_devices(direction: Direction) -> list[SoundDevice]:
    """`sound_devices`, for use inside a call. Raises as it does."""
    sound = load()
    hosts, preferred = sound.query_hostapis(), sound.default.device[direction == "output"]
    if preferred < 0:
        named = f"default_{direction}_device"
        preferred = next((host[named] for host in hosts if host[named] >= 0), -1)
    devices = [
        SoundDevice(
            info["index"], info["name"], hosts[info["hostapi"]]["name"], info[f"max_{direction}_channels"],
            round(info["default_samplerate"]), info[f"default_low_{direction}_latency"],
            info[f"default_high_{direction}_latency"], info["index"] == preferred,
        )
        for info in sound.query_devices() if info[f"max_{direction}_channels"] > 0
    ]  # fmt: skip
    if not devices:
        list_outdated.set()
        purpose = "listen to" if direction == "input" else "play through"
        raise DeviceError(
            f"there is no sound device to {purpose}; plug one in, or start the sound server, and try again"
        )
    return devices


def listed_device(wanted: int | str | None, direction: Direction) -> SoundDevice:
    """The device that ``wanted`` selects (`find_device`), for use inside a call. It may have come since PortAudio has
    listed the devices, so they are listed anew before it is given up. Raises as `find_device` and `list_devices`."""
    try:
        return find_device(list_devices(direction), wanted, direction)
    except DeviceError as error:
        list_outdated.set()
        if streams:  # which a restart would end
            raise DeviceError(f"{error}; what was plugged in since is found once no device is open") from None
    return find_device(list_devices(direction), wanted, direction)


class OpenStream:
    """An open stream. `start` and `close` wait no longer than their deadlines.

    Attributes:
        device: its device.
        latency: seconds, as PortAudio states it.
    """

    def __init__(self, sound: Any, device: SoundDevice, stream: Any) -> None:
        self.sound, self.stream = sound, stream
        self.device, self.latency = device, float(stream.latency)
        streams.add(self)

    @property
    def active(self) -> bool:
        """False once it has ended by itself or was stopped."""
        return bool(self.stream.active)

    async def start(self) -> None:
        """Start it.

        Raises:
            DeviceError: the device refuses, or the call hangs.
        """
        await call(self._start, OPEN_SECONDS, f"starting {self.device.name}")

    def _start(self) -> None:
        try:
            with quiet_libraries():
                self.stream.start()
        except self.sound.PortAudioError as error:
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
            for step in (self.stream.stop, self.stream.close):
                step(ignore_errors=True)
        finally:
            streams.discard(self)
