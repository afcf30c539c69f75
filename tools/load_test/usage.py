"""What a process uses, from /proc (Linux). Knows: one process. Does not know: why."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from .errors import LoadError

_TICK, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True)
class Usage:
    """At a moment."""

    time: float  #: of `time.perf_counter`
    cpu: float  #: seconds of computing so far
    rss: int  #: bytes
    fds: int  #: file descriptors open


def usage(pid: int) -> Usage:
    """Raises `LoadError` where the process has gone, or there is no /proc."""
    process = Path(f"/proc/{pid}")
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        pages = int((process / "statm").read_text().split()[1])
        fds = len(os.listdir(process / "fd"))
    except OSError as error:
        raise LoadError(f"cannot read {process} ({error.strerror}); is the server gone? its log says more") from None
    return Usage(time.perf_counter(), (int(fields[11]) + int(fields[12])) / _TICK, pages * _PAGE, fds)
