"""How the tools end: by Ctrl-C and SIGTERM, and after the programs that they run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.children import until
from tools.ending import exit_code
from tools.training import carry

#: A tool that tidies up.
TOOL = """
import time
from tools.ending import ended

def main():
    try:
        print("begun", flush=True)
        time.sleep(1000)
    finally:
        print("tidied", flush=True)

ended(main)
"""
#: A program that has something to keep when it is ended.
PROGRAM = """
import pathlib, signal, sys, time

def end(*_):
    pathlib.Path("asked").touch()
    while not pathlib.Path("seen").exists():
        time.sleep(0.01)
    pathlib.Path("kept").touch()
    sys.exit(7)

signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN)
pathlib.Path("begun").touch()
time.sleep(1000)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_tool_that_is_interrupted_tidies_up_and_says_nothing(number: int, code: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TOOL], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline() == "begun\n"
        tool.send_signal(number)
        assert tool.communicate(timeout=PATIENCE) == ("tidied\n", "")
        assert tool.returncode == code


@pytest.mark.parametrize("script", ["ablate", "corpus", "fuzz", "gpu-check", "listen", "memory", "peers", "quality",
                                    "resampling", "train_release"])  # fmt: skip
def test_every_tool_ends_so(script: str) -> None:
    (name,) = re.findall(r"-m tools\.(\S+) \"", (ROOT / "tools" / script).read_text(encoding="utf-8"))
    place = ROOT / "tools" / name.replace(".", "/")
    source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
    assert source.read_text(encoding="utf-8").endswith('if __name__ == "__main__":\n    ended(main)\n')


def test_what_travels_to_another_machine_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    carry._copy_code(tmp_path, shipped=False)
    command = [sys.executable, "-m", "tools.training.release", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


def test_an_interrupt_waits_for_the_program_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupt() -> None:
        until("the program", (tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)
        until("its end", (tmp_path / "asked").exists)
        (tmp_path / "seen").touch()

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        exit_code([sys.executable, "-S", "-c", PROGRAM])
    interrupting.join()
    assert (tmp_path / "kept").exists()


def test_a_program_ends_with_its_code_or_signal() -> None:
    assert exit_code([sys.executable, "-S", "-c", "raise SystemExit(3)"]) == 3
    assert exit_code([sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)"]) == -9
