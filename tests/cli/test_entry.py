"""The way into the command line: Ctrl-C ends it quietly from the first moment on; nothing large is loaded before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
#: The command line, which says on stdout when it has its handler.
SCRIPT = """
import os, signal
set_handler = signal.signal
def told(number, handler):
    before = set_handler(number, handler)
    signal.signal = set_handler
    os.write(1, b"!")
    return before
signal.signal = told
from streamrvq.__main__ import main
main()
"""


@pytest.mark.parametrize("after", [0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_ends_a_command_quietly_whenever_it_comes(weights: Path, after: float) -> None:
    command = [sys.executable, "-c", SCRIPT, "encode", "-", "--codec", str(weights)]  # which waits for stdin
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=ENV, **pipes) as started:
        assert started.stdout is not None
        assert started.stdout.read(1) == b"!"
        time.sleep(after)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=PATIENCE)
    assert (started.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert err == b"" or b"untrained" in err


def test_nothing_large_is_loaded_before_the_handler_is_set() -> None:
    code = "import sys; sys.argv = ['x', '-h']; import streamrvq.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    assert not {"numpy", "typer", "soundfile", "av", "websockets"} & set(loaded.stdout.split())


def test_an_ignored_ctrl_c_stays_ignored(weights: Path) -> None:
    """As of a command in the background of a script."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SCRIPT
    code = code.replace("main()\n", "os.write(1, b'!')\nos.kill(os.getpid(), signal.SIGINT)\nmain()\n", 1)
    done = subprocess.run([sys.executable, "-c", code, "--version"], env=ENV, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_package_has_all_its_names_at_once() -> None:
    code = (
        "import streamrvq, threading, sys\n"
        "found = []\n"
        "threads = [threading.Thread(target=lambda: found.append(streamrvq.load)) for _ in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "assert len(found) == 4\n"
        "assert all(hasattr(streamrvq, name) for name in streamrvq.__all__)\n"
        "assert streamrvq.audio and streamrvq.live.client and 'load' in dir(streamrvq)\n"
        "assert not hasattr(streamrvq, 'no_such_thing')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
