"""File descriptors: how many connections there can be, however many are wanted.

Knows: the process's limit, and what is open. Does not know: sockets.
"""

from __future__ import annotations

import dataclasses
import os
from contextlib import suppress

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

#: Kept for files, the listening sockets and connections that are being closed.
_RESERVE = 24
#: Systems whose hard limit is "infinite" refuse a soft limit beyond this.
_CAUTIOUS_LIMIT = 10_240
#: Connections whose answer has been sent and that wait for the client to read it.
MOST_LINGERING = 32


@dataclasses.dataclass(frozen=True)
class Room:
    """How many connections there may be: before they have authenticated, in each of two stages, and after."""

    unauthenticated: int
    authenticated: int


def raise_limit() -> None:
    """Let the process open as many files as the system allows it. Without effect where the system refuses."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    for wanted in (hard, _CAUTIOUS_LIMIT):
        if wanted == resource.RLIM_INFINITY or wanted > soft:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def room_for(unauthenticated: int, authenticated: int) -> Room:
    """As many connections as are wanted, or fewer where the descriptors do not reach: all parts shrink alike.

    Args:
        unauthenticated: connections wanted in each of the two stages before they have authenticated.
        authenticated: connections wanted after.
    """
    free = _free_descriptors()
    wanted = 2 * unauthenticated + authenticated + MOST_LINGERING
    if free is None or wanted <= free:
        return Room(unauthenticated, authenticated)
    share = min(1.0, max(0, free - MOST_LINGERING // 4) / (2 * unauthenticated + authenticated))
    return Room(max(2, int(unauthenticated * share)), max(1, int(authenticated * share)))


def _free_descriptors() -> int | None:
    """Descriptors that this process may still open, the reserve excepted; None: there is no limit."""
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    used = 32  # about what Python and its libraries have open
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            used = len(os.listdir(folder))
            break
    return max(0, soft - used - _RESERVE)
