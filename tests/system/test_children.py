"""Processes end when they are told to, one that is stopped too."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from streamrvq.system import children
from streamrvq.system.children import end_children, start_children
from tests.support.patience import PATIENCE
from tests.support.processes.children import is_there, needs_proc


@needs_proc
def test_stopped_and_running_processes_end() -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=time.sleep, args=(1e6,)) for _ in range(2)]
    start_children(processes)
    pids = [process.pid or 0 for process in processes]
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[1], signal.SIGINT)  # which a terminal sends to them as well
    status = dict(line.split(":\t") for line in Path(f"/proc/{pids[1]}/status").read_text().splitlines())
    assert int(status["ShdPnd"], 16) & 1 << signal.SIGINT - 1  # it waits there for ever
    end_children(processes)
    assert [pid for pid in pids if is_there(pid)] == []
    assert processes[0].exitcode in (-signal.SIGKILL, -signal.SIGTERM)  # by system
    assert processes[1].exitcode == -signal.SIGTERM


def test_processes_that_never_started_or_have_ended() -> None:
    context = multiprocessing.get_context("spawn")
    never, ended = context.Process(target=int), context.Process(target=int)
    start_children([ended])
    ended.join()
    end_children([never, ended])
    assert ended.exitcode == 0


@needs_proc
def test_a_process_that_another_thread_reaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread has taken the status from the system, and says so a little later."""
    monkeypatch.setattr(children, "_TERMINATED_WITHIN", PATIENCE)  # or a late thread would be too late
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1e6,))
    start_children([process])
    os.kill(process.pid or 0, signal.SIGKILL)
    os.waitpid(process.pid or 0, 0)
    thread = threading.Timer(0.2, setattr, (process._popen, "returncode", -signal.SIGKILL))  # type: ignore[attr-defined]
    thread.start()
    killed = end_children([process])
    assert process.exitcode == -signal.SIGKILL
    assert process not in multiprocessing.active_children()
    assert killed == []
    thread.join()


def test_a_process_that_ended_while_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is over at the first look, as after a pause of this process: it is not taken for one to be killed."""
    monkeypatch.setattr(children, "_TERMINATED_WITHIN", 0.0)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1e6,))
    start_children([process])
    terminate = process.terminate

    def terminated() -> None:
        terminate()
        assert wait([process.sentinel], PATIENCE)

    monkeypatch.setattr(process, "terminate", terminated)
    assert end_children([process]) == []
    assert process.exitcode == -signal.SIGTERM
