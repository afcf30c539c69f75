"""A device that plays samples as they come, or says in a sentence why it does not.

Knows: PortAudio's blocking writes, which rates and channels to try. Does not know: codecs, files, resampling.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np

from ...audio.pcm import Pcm
from ...errors import DeviceError, StreamClosedError
from ...system.copying import NeverCopied
from ...system.quiet import quiet_libraries
from ..sources.devices import SoundDevice
from ..sources.input_stream import UNAVAILABLE, in_use
from ..sources.portaudio import CLOSE_SECONDS, OPEN_SECONDS, OpenStream, call, list_outdated, listed_device, load

#: Seconds that are written at a time: an interrupt waits for that long at most.
_BLOCK = 0.1


class Speaker(NeverCopied, error=DeviceError, holds="an open device", instead="open the device again"):
    """A device to play through. An async context manager, entered once.

    Args:
        rate: of the samples, Hz. A device that refuses it is opened at its own rate; see `sample_rate`.
        device: as for `find_device`; None: the default one.

    Attributes:
        sample_rate: at which the device plays, once it is entered. Samples have to come at this rate.
        name: of the device.
        dry: how many times the device had nothing to play, because samples came too late.
    """

    def __init__(self, rate: int, device: int | str | None = None) -> None:
        self.sample_rate, self.name, self.dry = rate, "", 0
        self._wanted, self._channels, self._begun = device, 1, False
        self._stream: OpenStream | None = None
        self._entered = False

    async def __aenter__(self) -> Self:
        """Open the device.

        Raises:
            DeviceError: there is no such device, it refuses, or it hangs. Then it may be entered again.
            StreamClosedError: it was entered before.
        """
        if self._entered:
            raise StreamClosedError("this speaker was entered before; make another one")
        self._entered = True
        try:
            self._stream = await call(
                self._open, OPEN_SECONDS, "opening the sound device", lambda opened: opened.close_now()
            )
        except BaseException:
            self._entered = False
            raise
        self.name = self._stream.device.name
        return self

    def _open(self) -> OpenStream:
        device = listed_device(self._wanted, "output")
        sound, reason = load(), ""
        for rate in dict.fromkeys((self.sample_rate, device.default_rate)):
            for channels in range(1, min(2, device.channels) + 1):
                try:
                    with quiet_libraries():
                        stream = sound.OutputStream(
                            samplerate=rate, device=device.index, channels=channels, dtype="float32", latency="high"
                        )
                        try:
                            stream.start()
                        except BaseException:  # open, it would keep the device from the next attempt
                            stream.close(ignore_errors=True)
                            raise
                except sound.PortAudioError as error:
                    reason = reason or _reason(device, error)
                    continue
                self.sample_rate, self._channels = rate, channels
                return OpenStream(sound, device, stream)
        list_outdated.set()
        raise DeviceError(reason)

    async def play(self, pcm: Pcm) -> None:
        """Play samples ``[n]``. It returns when the device has taken them, some time before they are heard.

        Raises:
            DeviceError: the device is gone, or hangs.
        """
        step = max(1, round(_BLOCK * self.sample_rate))
        for at in range(0, len(pcm), step):
            block = np.repeat(pcm[at : at + step, None], self._channels, axis=1).astype(np.float32)
            late = await self._call(lambda stream, block=block: stream.write(block), _BLOCK)
            self.dry += bool(late) and self._begun
            self._begun = True

    async def finish(self) -> None:
        """Wait until everything was heard.

        Raises:
            DeviceError: the device is gone, or hangs.
        """
        await self._call(lambda stream: stream.stop(), self._opened.latency)

    @property
    def _opened(self) -> OpenStream:
        if self._stream is None:
            raise DeviceError("this speaker is not open; write `async with Speaker(…) as speaker:`")
        return self._stream

    async def _call(self, work: Any, seconds: float) -> Any:
        opened = self._opened

        def run() -> Any:
            try:
                return work(opened.stream)
            except opened.sound.PortAudioError as error:
                list_outdated.set()
                raise DeviceError(
                    f"{self.name} plays no more ({_words(error)}); plug it in again, or restart the sound server"
                ) from None

        return await call(run, OPEN_SECONDS + seconds, f"playing through {self.name}")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return

        def close() -> None:
            stream.stream.abort(ignore_errors=True)  # what is not heard yet is dropped
            stream.close_now()

        try:
            await call(close, CLOSE_SECONDS, f"closing {self.name}")
        except DeviceError:
            if error is None:
                raise


def _words(error: Exception) -> str:
    return str(error.args[0] if error.args else error)


def _reason(device: SoundDevice, error: Exception) -> str:
    code = error.args[1] if len(error.args) > 1 else None
    if code == UNAVAILABLE:
        return in_use(device)
    return f"{device.name} cannot be opened ({_words(error)}); choose another device, or plug it in again"
