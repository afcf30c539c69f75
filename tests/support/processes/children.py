"""The processes that a command started, found in /proc, so on Linux only.

Knows: /proc. Does not know: what the processes do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


def workers_of(pid: int) -> list[int]:
    """The processes that `multiprocessing` spawned for ``pid``, save its tracker of resources."""
    found = []
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    for child in children:
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"spawn_main" in command:
            found.append(int(child))
    return found


def is_there(pid: int) -> bool:
    """Whether a process runs, or is stopped; a zombie does neither."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until ``holds()``. Fails after `PATIENCE` with ``what``."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.01)
