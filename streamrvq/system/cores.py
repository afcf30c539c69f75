"""How many cores this process may use: every default number of threads or workers is made of it.

A container is usually given a share of the machine's time, and not cores of its own. With more threads than its share
it is stopped for the rest of every period, so that a live stream stutters. The share is the cgroup's quota, which
affinity does not show.

Knows: affinity; cgroups of both versions, as proc(5) and cgroups(7) describe them. Does not know: who asks. The build
hook runs this file by itself, so it imports nothing of the package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ESCAPED = re.compile(r"\\([0-7]{3})")  # how mountinfo writes a space in a path


def available_cores(process: Path = Path("/proc/self")) -> int:
    """Cores that this process may use: those of its affinity, or its cgroups' CPU quota if that is less.

    A quota is rounded down, since a thread that is stopped in the middle of a step makes all the others wait; but it is
    at least 1.

    Args:
        process: where the system describes the process.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every platform, and not in every sandbox
        cores = os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(process))]))


def _quotas(process: Path) -> Iterator[float]:
    """The quotas, in cores, of the process's cgroups and of all that they lie in. A limit holds for all below it."""
    for version, path in _cgroups(process):
        for mount, root in _mounts(process, version):
            for folder in _upwards(mount, root, path):
                quota = _quota_v2(folder) if version == 2 else _quota_v1(folder)
                if quota is not None and quota > 0:
                    yield quota


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _cgroups(process: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """The cgroups that may limit the process's CPU time: the version of each, and its path in its hierarchy."""
    for line in _lines(process / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and number == "0" and not controllers:
            yield 2, PurePosixPath(path)
        elif colon and "cpu" in controllers.split(","):
            yield 1, PurePosixPath(path)


def _mounts(process: Path, version: int) -> Iterator[tuple[Path, PurePosixPath]]:
    """Where a hierarchy is mounted, and which of its cgroups is there: in a container, often the container's own."""
    for line in _lines(process / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        ours = kind[0] == "cgroup2" if version == 2 else kind[0] == "cgroup" and "cpu" in kind[2].split(",")
        if ours:
            root, place = (_ESCAPED.sub(lambda found: chr(int(found[1], 8)), field) for field in fields[3:5])
            yield Path(place), PurePosixPath(root)


def _upwards(mount: Path, root: PurePosixPath, path: PurePosixPath) -> Iterator[Path]:
    """The folder of a cgroup and those above it, up to the mount.

    The mount alone where the cgroup is not below what is mounted: a container's view of another hierarchy.
    """
    inside = PurePosixPath(*path.relative_to(root).parts) if path.is_relative_to(root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    yield mount / inside
    for above in inside.parents:
        yield mount / above


def _quota_v2(folder: Path) -> float | None:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None  # "max 100000": no limit


def _quota_v1(folder: Path) -> float | None:
    quota, period = (" ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return _ratio(quota, period)  # a quota of -1: no limit


def _ratio(quota: str, period: str) -> float | None:
    try:
        return int(quota) / int(period)
    except (ValueError, ArithmeticError):
        return None
