"""What a process uses: CPU time, memory and file descriptors, from /proc (Linux).

Knows: one process. Does not know: what it does.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from .errors import LoadError

_TICK, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process had used at one moment."""

    time: float  #: of `time.perf_counter`
    cpu: float  #: seconds of CPU time so far
    rss: int  #: bytes
    fds: int  #: open file descriptors


def usage(pid: int) -> Usage:
    """What a process uses now. Raises `LoadError` if it is gone, or if there is no /proc."""
    process = Path(f"/proc/{pid}")
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        pages = int((process / "statm").read_text().split()[1])
        fds = len(os.listdir(process / "fd"))
    except OSError as error:
        if not Path("/proc/self/stat").exists():
            raise LoadError("there is no /proc here, which says what a process uses; run this on Linux") from None
        raise LoadError(f"cannot read {process} ({error.strerror}); is the server gone? its log says more") from None
    return Usage(time.perf_counter(), (int(fields[11]) + int(fields[12])) / _TICK, pages * _PAGE, fds)
