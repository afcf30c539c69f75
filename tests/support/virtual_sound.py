"""Sound devices without hardware, for tests: real ALSA, PortAudio and PulseAudio under a microphone that is a file.

    python tests/support/virtual_sound.py AUDIO COMMAND…   run a command with AUDIO (mono) as what the microphone hears

`Sink`: a loudspeaker that keeps what it is given.
`Fifo`: ALSA's ``file`` plugin reads a FIFO that fifo_feeder.py fills: every sample is known, and none is lost.
`Pulse`: a separate, silent sound server that can be stopped or killed like a real one.
`SilentMicrophone`: no device at all, where a test decides what is heard.

Knows: how to make them, and that PortAudio has to be restarted to see them. Does not know: what is tested.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from unittest import mock

import numpy as np

FEEDER = Path(__file__).parent / "fifo_feeder.py"
_RESTARTING = _STARTING = 180.0  #: seconds; as patience.PATIENCE, which a program cannot import
NEEDED = "apt-get install libportaudio2 libasound2-plugins pulseaudio (tools/setup.sh does, as root)"


def restart_portaudio() -> None:
    """Let PortAudio of this process look for devices again.

    It ends streams that are still open, and hung once in that, with all tests behind it. So it is not waited for.
    """
    import sounddevice

    def restart() -> None:
        sounddevice._terminate()
        sounddevice._initialize()

    restarting = threading.Thread(target=restart, daemon=True)
    restarting.start()
    restarting.join(_RESTARTING)
    assert not restarting.is_alive(), "PortAudio does not end its streams; an earlier test has left one open"


class Device:
    """Virtual devices and the processes behind them; a context manager within which it is the default microphone.

    Attributes:
        env: what another process needs to see it.
        config: ALSA's configuration, which PortAudio reads when it starts.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="virtual-sound-"))
        self.config = self._folder / "asoundrc"
        self.env = {"ALSA_CONFIG_PATH": str(self.config)}
        self._exit = contextlib.ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []

    def _make(self) -> None:
        """Write the configuration and start the processes, each of which is noted as soon as it runs."""
        self.config.write_text("pcm.!default { type hw card 77 }\n")  # no devices: of an empty file PortAudio dies

    def __enter__(self) -> Device:
        with contextlib.ExitStack() as undoing:  # if it cannot be made, nothing of it stays
            undoing.callback(shutil.rmtree, self._folder)
            undoing.callback(self.kill)
            self._make()
            undoing.enter_context(mock.patch.dict(os.environ, self.env))
            restart_portaudio()
            self._exit = undoing.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)


@dataclasses.dataclass(frozen=True)
class Voice:
    """What one microphone hears from the moment at which it is opened."""

    pcm: np.ndarray  #: float32 ``[n]`` or ``[n, channels]``
    rate: int
    block: int  #: which the reader has to ask for
    lose: tuple[int, int] | None = None  #: where, and how many samples, in silence


class Fifo(Device):
    """Microphones that hear known samples: ``default``, and others by name."""

    def __init__(self, default: Voice, **others: Voice) -> None:
        super().__init__()
        self._voices = {"default": default, **others}

    def _make(self) -> None:
        text = ""
        for name, voice in self._voices.items():
            fifo, samples = self._folder / name, self._folder / f"{name}.f32"
            os.mkfifo(fifo)
            voice.pcm.astype("<f4").tofile(samples)
            text += (
                f'pcm.!{name} {{ type file slave.pcm {{ type null }} file "/dev/null" infile "{fifo}" format "raw" }}\n'
            )
            numbers = [voice.rate, voice.block, 1 if voice.pcm.ndim == 1 else voice.pcm.shape[1], *(voice.lose or ())]
            command = [sys.executable, "-S", str(FEEDER), str(fifo), str(samples), *map(str, numbers)]
            self._processes.append(subprocess.Popen(command))
        self.config.write_text(text)


class Sink(Device):
    """A loudspeaker that takes samples as fast as they come and keeps them, at any rate and number of channels."""

    def _make(self) -> None:
        self.config.write_text(
            f'pcm.!default {{ type file slave.pcm {{ type null }} file "{self._folder / "heard"}" format "raw" }}\n'
        )

    @property
    def heard(self) -> np.ndarray:
        """float32: everything that was played."""
        path = self._folder / "heard"
        return np.fromfile(path, "<f4") if path.exists() else np.zeros(0, np.float32)


def _listening(address: Path) -> bool:
    """Whether the server takes connections. Its socket is a file from `bind` on, and refuses them until `listen`."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(address)) == 0


class Pulse(Device):
    """A sound server of our own with one silent source.

    It hands samples over in no shared memory. Where it does, libpulse may hang when it is killed: its thread waits for
    a block that ALSA's plugin holds between two reads, and the plugin waits for that thread. Then PortAudio is lost to
    the process, with all tests behind it.
    """

    def _make(self) -> None:
        address = self._folder / "native"
        script = self._folder / "script.pa"
        script.write_text(
            "load-module module-null-sink sink_name=virtual format=float32le rate=44100 channels=1 norewinds=1\n"
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={address}\n"
        )
        self.config.write_text(f'pcm.!default {{ type pulse server "unix:{address}" device "virtual.monitor" }}\n')
        folder = str(self._folder)
        self.env |= {
            "XDG_RUNTIME_DIR": folder, "PULSE_RUNTIME_PATH": folder, "PULSE_STATE_PATH": folder,
            "PULSE_SERVER": f"unix:{address}", "PULSE_COOKIE": f"{folder}/cookie",
        }  # fmt: skip
        server = shutil.which("pulseaudio")
        assert server is not None, f"pulseaudio is missing: {NEEDED}"
        options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        options += ["--high-priority=no", "--realtime=no"]
        process = subprocess.Popen(
            [server, *options, "--log-level=error", "-F", str(script)], env=os.environ | self.env, cwd=folder
        )
        self._processes = [process]
        deadline = time.monotonic() + _STARTING
        while not _listening(address):
            assert process.poll() is None, "pulseaudio does not start"
            assert time.monotonic() < deadline, "pulseaudio does not start"
            time.sleep(0.01)

    def again(self) -> None:
        """After `kill`: the server comes back. (PortAudio is not told.)"""
        (self._folder / "native").unlink(missing_ok=True)
        self._make()


def _main() -> int:
    import soundfile

    pcm, rate = soundfile.read(sys.argv[1], dtype="float32")
    with Fifo(Voice(pcm, rate, rate // 100)):
        return subprocess.call(sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(_main())


class SilentMicrophone:
    """What stands in for `streamrvq.Microphone`, without a device; subclasses say what it hears, in ``__aiter__``."""

    def __init__(self, rate: int | None = None) -> None:
        self.sample_rate = 16_000 if rate is None else rate

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass
