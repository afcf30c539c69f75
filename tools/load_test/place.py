"""Which core is whose. Knows: affinities. Does not know: what runs there."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager


@dataclasses.dataclass(frozen=True)
class Place:
    """Cores for the server and for the load; None: wherever the system puts them."""

    server: int | None = None
    load: int | None = None

    @property
    def words(self) -> str:
        """For people."""
        if self.server is None:
            return "not pinned"
        shared = "both on the one core there is" if self.server == self.load else f"load on core {self.load}"
        return f"server on core {self.server}, {shared}"

    @contextmanager
    def of_server(self) -> Iterator[None]:
        """Processes that are started here run on the server's core; this one goes back to the load's."""
        if self.server is None:
            yield
            return
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.load} if self.load is not None else {self.server})


def find_place(pin: bool) -> Place:
    """The first two cores that this process may use; the same one twice where there is but one."""
    if not pin:
        return Place()
    cores = sorted(os.sched_getaffinity(0))
    return Place(cores[0], cores[min(1, len(cores) - 1)])


@contextmanager
def everywhere() -> Iterator[None]:
    """Give this process back, at the end, the cores that it had."""
    before = os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
