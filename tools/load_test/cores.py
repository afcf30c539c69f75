"""Which process runs on which CPU core.

Knows: CPU affinity. Does not know: what runs there.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import LoadError

_TIES = hasattr(os, "sched_setaffinity")  # macOS has nothing like it


@dataclasses.dataclass(frozen=True)
class Cores:
    """The cores for the server and for the load. None: the system decides."""

    server: int | None = None
    load: int | None = None

    @property
    def words(self) -> str:
        """A description for people."""
        if self.server is None:
            return "not pinned"
        shared = "both on the one core there is" if self.server == self.load else f"load on core {self.load}"
        return f"server on core {self.server}, {shared}"

    @contextmanager
    def started_on_server_core(self) -> Iterator[None]:
        """Processes started inside run on the server's core. Afterwards this process is on the load's core."""
        if self.server is None:
            yield
            return
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.load} if self.load is not None else {self.server})


def choose_cores(pin: bool) -> Cores:
    """The first two cores that this process may use. If there is only one, both use it."""
    if not pin:
        return Cores()
    if not _TIES:
        raise LoadError("--pin was given where the system ties no process to cores; wanted Linux, or no --pin")
    cores = sorted(os.sched_getaffinity(0))
    return Cores(cores[0], cores[min(1, len(cores) - 1)])


@contextmanager
def restored_affinity() -> Iterator[None]:
    """Restore, at the end, the cores that this process may use now."""
    if not _TIES:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
