"""Processes that this one started, and how they end: asked to first, then killed. None outlives its parent.

Knows: processes of `multiprocessing`. Does not know: what they do.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from multiprocessing.process import BaseProcess

#: Seconds in which a process must end that was terminated, before it is killed; and then one that was killed. A
#: stopped process does not see that it is terminated; one that waits for a broken disk does not even die.
_TERMINATED_WITHIN, _KILLED_WITHIN = 0.5, 5.0


def start_children(processes: Iterable[BaseProcess]) -> None:
    """Start processes in which SIGINT has no effect: a terminal sends it to them too, and only their parent decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        for process in processes:
            process.start()
        return
    from multiprocessing import resource_tracker  # which changes the mask, too, when it starts

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for process in processes:
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_children(processes: Sequence[BaseProcess]) -> list[BaseProcess]:
    """End processes: terminate all, and kill those that are still there after half a second. They are all reaped.

    Returns:
        Those that had to be killed.
    """
    alive = [process for process in processes if process.pid is not None and process.exitcode is None]
    for process in alive:
        process.terminate()
    alive = _left(alive, _TERMINATED_WITHIN)
    for process in alive:
        process.kill()
    _left(alive, _KILLED_WITHIN)
    return alive


def exit_with_the_parent() -> None:
    """In a child: from now on, end as soon as the process that started this one has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _left(processes: Sequence[BaseProcess], within: float) -> list[BaseProcess]:
    """Those that have not ended after ``within`` seconds."""
    left, until, late = list(processes), time.monotonic() + within, False
    while left and not late:
        seconds = until - time.monotonic()
        late = seconds <= 0  # one last look: this process itself may have been kept from looking sooner
        ended = multiprocessing.connection.wait([process.sentinel for process in left], max(seconds, 0))
        for process in [process for process in left if process.sentinel in ended]:
            process.join()
            # Only one thread learns from the system how a process ended. Where another one joins it too, as that of
            # an executor does, it may not have written it down yet: `join` returns, and `exitcode` is still None.
            if process.exitcode is None:
                time.sleep(0.001)
            else:
                left.remove(process)
    return left
