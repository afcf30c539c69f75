"""Cores that a process may use, read from a made-up /proc and /sys/fs/cgroup."""

from __future__ import annotations

import ast
import os
import runpy
from pathlib import Path
from typing import Any

import pytest

from streamrvq.system import cores
from streamrvq.system.cores import available_cores
from tests.support.paths import ROOT

UNLIMITED = {"cpu.max": "max 100000"}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def machine(folder: Path, cgroup: str, mounts: str, files: dict[str, str]) -> Path:
    """A ``/proc/self`` whose mounts lie below ``folder``. In ``mounts`` that folder is written as ``{}``."""
    process = folder / "proc"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(cgroup)
    (process / "mountinfo").write_text(mounts.replace("{}", str(folder).replace(" ", "\\040")))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return process


V2 = "30 23 0:26 / {}/cg rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "33 31 0:29 / {}/cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:30 / {}/cg/cpuset rw - cgroup cgroup rw,cpuset\n"
)


@pytest.mark.parametrize(
    "limit, wanted",
    [("max 100000", 8), ("150000 100000", 1), ("50000 100000", 1), ("200000 100000", 2), ("399999 100000", 3),
     ("1600000 100000", 8), ("2000 1000", 2), ("", 8), ("nonsense", 8), ("x y", 8), ("0 100000", 8), ("100000 0", 8)],
)  # fmt: skip
def test_a_quota_is_rounded_down_to_whole_cores(tmp_path: Path, limit: str, wanted: int) -> None:
    process = machine(tmp_path, "0::/\n", V2, {"cg/cpu.max": limit})
    assert available_cores(process) == wanted


def test_the_least_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    files = {"cg/a/b/c/cpu.max": "max 100000", "cg/a/b/cpu.max": "300000 100000", "cg/a/cpu.max": "600000 100000"}
    assert available_cores(machine(tmp_path, "0::/a/b/c\n", V2, files)) == 3


def test_a_quota_of_another_cgroup_does_not_count(tmp_path: Path) -> None:
    files = {"cg/a/cpu.max": "max 100000", "cg/b/cpu.max": "100000 100000"}
    assert available_cores(machine(tmp_path, "0::/a\n", V2, files)) == 8


def test_a_container_sees_its_own_cgroup_where_the_hierarchy_is_mounted(tmp_path: Path) -> None:
    """Its path is told from the host's root, of which only the container's part is mounted."""
    mounts = V2.replace(" / ", " /docker/0123 ")
    files = {"cg/cpu.max": "200000 100000", "cg/inner/cpu.max": "max 100000"}
    assert available_cores(machine(tmp_path / "1", "0::/docker/0123\n", mounts, files)) == 2
    assert available_cores(machine(tmp_path / "2", "0::/docker/0123/inner\n", mounts, files)) == 2


@pytest.mark.parametrize("path", ["/docker/0123", "/../../system.slice", "/../x"])
def test_a_path_that_is_not_mounted_counts_as_the_mount(tmp_path: Path, path: str) -> None:
    assert available_cores(machine(tmp_path, f"0::{path}\n", V2, {"cg/cpu.max": "200000 100000"})) == 2


@pytest.mark.parametrize(
    "quota, period, wanted", [("-1", "100000", 8), ("150000", "100000", 1), ("500000", "100000", 5)]
)
def test_version_1_has_a_quota_and_a_period(tmp_path: Path, quota: str, period: str, wanted: int) -> None:
    files = {"cg/cpu,cpuacct/box/cpu.cfs_quota_us": quota, "cg/cpu,cpuacct/box/cpu.cfs_period_us": period}
    process = machine(tmp_path, "5:cpuset:/\n4:cpu,cpuacct:/box\n", V1, files)
    assert available_cores(process) == wanted


def test_of_both_versions_side_by_side_the_less_counts(tmp_path: Path) -> None:
    mounts = V1 + "40 31 0:38 / {}/cg/unified rw - cgroup2 cgroup2 rw\n"
    files = {"cg/cpu,cpuacct/cpu.cfs_quota_us": "300000", "cg/cpu,cpuacct/cpu.cfs_period_us": "100000"}
    cgroup = "1:cpu,cpuacct:/\n0::/\n"
    assert available_cores(machine(tmp_path / "1", cgroup, mounts, files)) == 3
    assert available_cores(machine(tmp_path / "2", cgroup, mounts, files | {"cg/unified/cpu.max": "2 1"})) == 2


def test_a_mount_may_have_spaces_in_its_name(tmp_path: Path) -> None:
    assert available_cores(machine(tmp_path / "a b", "0::/\n", V2, {"cg/cpu.max": "200000 100000"})) == 2


@pytest.mark.parametrize("cgroup, mounts", [("", ""), ("rubbish\n0:\n:::\n", "rubbish\n - \na - b\n"), ("0::/\n", "")])
def test_what_says_nothing_limits_nothing(tmp_path: Path, cgroup: str, mounts: str) -> None:
    assert available_cores(machine(tmp_path, cgroup, mounts, {})) == 8


@pytest.mark.parametrize(
    "limit", ["max 100000", "-1 100000", "0 100000", "100000 0", "100000 -1", "x y", "1", "", "9" * 400 + " 1", "1.5 1",
              "9" * 5000 + " 1", "max max", "1 2 3"]
)  # fmt: skip
def test_an_odd_limit_limits_nothing(tmp_path: Path, limit: str) -> None:
    assert available_cores(machine(tmp_path, "0::/\n", V2, {"cg/cpu.max": limit})) == 8


def test_a_sandbox_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(process: int) -> Any:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", refused)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert available_cores(tmp_path) == 5


def test_without_any_of_it_affinity_alone_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "no such") == 8


def test_without_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1


def test_the_file_runs_by_itself() -> None:
    """The build hook has no package to import it from."""
    assert runpy.run_path(str(cores.__file__))["available_cores"]() >= 1


def test_nobody_else_counts_cores() -> None:
    """Every default number comes from here. The load test asks which cores there are, to pin processes to them."""
    counting = {"cpu_count", "process_cpu_count", "sched_getaffinity"}
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("streamrvq", "tools", "demos")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if getattr(node, "attr", getattr(node, "id", None)) in counting
    }
    assert found == {"streamrvq/system/cores.py", "tools/load_test/cores.py"}
