"""An interrupt ends the processes of tools/quality, one that is stopped too."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.support.processes.children import needs_proc, until
from tools.quality_measure import judging


def interrupted(times: int) -> Future[None]:
    """A future whose result comes with so many interrupts."""
    future: Future[None] = Future()

    def interrupt() -> None:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        future.set_result(None)

    threading.Timer(0.5, interrupt).start()
    return future


@needs_proc
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_ends_processes_that_do_not_answer(weights: Path, times: int) -> None:
    others = set(multiprocessing.active_children())

    def ours() -> list[int]:
        return [child.pid or 0 for child in multiprocessing.active_children() if child not in others]

    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with judging._processes(2, judging.Task(str(weights), "", (), ())) as pool:
            waiting = [pool.submit(time.sleep, 1e6) for _ in range(2)]
            until("two processes", lambda: len(ours()) == 2)
            os.kill(ours()[0], signal.SIGSTOP)
            for _ in judging._results([*waiting, interrupted(times)]):
                pass
    assert ours() == []


@needs_proc
def test_results_come_as_they_are_ready(weights: Path) -> None:
    with judging._processes(2, judging.Task(str(weights), "", (), ())) as pool:
        assert sorted(judging._results([pool.submit(int, text) for text in "312"])) == [1, 2, 3]
