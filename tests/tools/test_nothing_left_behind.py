"""What tools and the tests' own devices start ends with them, whatever ends them.

Knows: how each of them fails halfway. Does not know: what they do otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import virtual_sound
from tests.support.patience import PATIENCE
from tools.gpu_check.__main__ import Check, arguments
from tools.load_test.errors import LoadError
from tools.load_test.modes import throughput
from tools.training import borrowed

SLEEPING = [sys.executable, "-S", "-c", "import time; time.sleep(1000)"]


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's folder for temporary files, empty. Its path is short, for a socket's has some hundred characters."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started. Each sleeps, whatever its command."""
    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(real(SLEEPING, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return processes


def test_an_interrupted_check_of_a_card_ends_its_build(
    tmp_path: Path, temporary: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--out", str(tmp_path / "out"), "--build", "--parts", "card"])

    def interrupted(self: Check, name: str, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Check, "_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Check(arguments()).run()
    (build,) = started
    assert build.poll() == -signal.SIGKILL
    assert list(temporary.iterdir()) == []


def test_a_result_that_cannot_be_delivered_ends_the_trainer(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = argparse.Namespace(keep=tmp_path, device="cpu", minutes=60.0, reserve=PATIENCE, every=0.0)
    before = signal.getsignal(signal.SIGTERM)
    call = borrowed.Borrowed(asked)
    signal.signal(signal.SIGTERM, before)
    (tmp_path / "from").write_text("weights")

    def full(run: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, "_deliver", full)
    with pytest.raises(OSError, match="No space left"):
        call._train(tmp_path, tmp_path, 60.0, None)
    (trainer,) = started
    assert trainer.poll() == -signal.SIGTERM


class Cores:
    """As `tools.load_test.cores.Cores`, of a machine that has one."""

    def started_on_server_core(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.mark.parametrize("ready", [False, True])
def test_a_bare_engine_ends_with_its_block(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it does not start, or still computes."""
    saying = f"import time; print({'ready' if ready else 'no'!r}, flush=True); time.sleep(1000)"
    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(real([sys.executable, "-S", "-c", saying], **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    settings = argparse.Namespace(null=True, codec="", engine="auto", threads=1)
    experiment: Any = argparse.Namespace(settings=settings, cores=Cores())
    with pytest.raises(KeyboardInterrupt if ready else LoadError), throughput._bare(experiment):
        raise KeyboardInterrupt
    assert processes[0].poll() == -signal.SIGKILL


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "is slow"])
def test_a_sound_server_that_does_not_start_leaves_nothing(
    ends: bool, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pid").touch()
    server = tmp_path / "pulseaudio"
    server.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\n{'exit 1' if ends else 'exec sleep 1000'}\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    if not ends:
        monkeypatch.setattr(virtual_sound, "_STARTING", 0.0)
    with pytest.raises(AssertionError, match="does not start"), virtual_sound.Pulse():
        pass
    if said := (tmp_path / "pid").read_text():
        with pytest.raises(ProcessLookupError):
            os.kill(int(said), 0)
    assert list(temporary.iterdir()) == []
