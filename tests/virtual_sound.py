"""Sound devices without hardware, for tests: real ALSA, PortAudio and PulseAudio under a microphone that is a file.

`Fifo`: ALSA's ``file`` plugin reads a FIFO that fifo_feeder.py fills: every sample is known, and none is lost.
`Pulse`: a sound server of one's own, silent, that can be stopped or killed as a real one would be.

Knows: how to make them, and that PortAudio has to be started anew to see them. Does not know: what is tested.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

FEEDER = Path(__file__).parent / "fifo_feeder.py"
NEEDED = "apt-get install libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils (tools/setup.sh does, as root)"


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def restart_portaudio() -> None:
    """Let PortAudio of this process look for devices again."""
    import sounddevice

    sounddevice._terminate()
    sounddevice._initialize()


class Device:
    """A virtual device and the process behind it; a context manager within which it is the default microphone.

    Attributes:
        env: what another process needs to see it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="virtual-sound-"))
        self._config = self._folder / "asoundrc"
        self.env = {"ALSA_CONFIG_PATH": str(self._config)}
        self._exit = contextlib.ExitStack()
        self.process: subprocess.Popen[bytes] | None = None

    def _make(self) -> subprocess.Popen[bytes] | None:
        """Write the configuration and start the process."""
        self._config.write_text("")  # no devices
        return None

    def __enter__(self) -> Device:
        self._exit.callback(shutil.rmtree, self._folder)
        self.process = self._make()
        self._exit.callback(self.kill)
        self._exit.enter_context(environment(**self.env))
        restart_portaudio()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Fifo(Device):
    """A microphone that hears ``pcm`` at ``rate`` from the moment at which it is opened."""

    def __init__(self, pcm: np.ndarray, rate: int, block: int) -> None:
        super().__init__()
        self._pcm, self._rate, self._block = pcm, rate, block

    def _make(self) -> subprocess.Popen[bytes]:
        fifo, samples = self._folder / "fifo", self._folder / "samples.f32"
        os.mkfifo(fifo)
        self._pcm.astype("<f4").tofile(samples)
        self._config.write_text(
            f'pcm.!default {{ type file slave.pcm {{ type null }} file "/dev/null" infile "{fifo}" format "raw" }}\n'
        )
        arguments = [str(fifo), str(samples), str(self._rate), str(self._block)]
        return subprocess.Popen([sys.executable, "-S", str(FEEDER), *arguments])


class Pulse(Device):
    """A sound server of our own with one silent source."""

    def _make(self) -> subprocess.Popen[bytes]:
        socket = self._folder / "native"
        script = self._folder / "script.pa"
        script.write_text(
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={socket}\n"
            "load-module module-null-sink sink_name=virtual format=float32le rate=44100 channels=1 norewinds=1\n"
        )
        self._config.write_text(f'pcm.!default {{ type pulse server "unix:{socket}" device "virtual.monitor" }}\n')
        folder = str(self._folder)
        self.env |= {
            "XDG_RUNTIME_DIR": folder, "PULSE_RUNTIME_PATH": folder, "PULSE_STATE_PATH": folder,
            "PULSE_SERVER": f"unix:{socket}", "PULSE_COOKIE": f"{folder}/cookie",
        }  # fmt: skip
        server = shutil.which("pulseaudio")
        assert server is not None, f"pulseaudio is missing: {NEEDED}"
        options = "-n --daemonize=no --exit-idle-time=-1 --use-pid-file=no --high-priority=no --realtime=no".split()
        process = subprocess.Popen(
            [server, *options, "--log-level=error", "-F", str(script)], env=os.environ | self.env, cwd=folder
        )
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert process.poll() is None and time.monotonic() < deadline, "pulseaudio does not start"
            time.sleep(0.01)
        return process
