"""Libraries' notes are kept off stderr, and ours come through before and after."""

from __future__ import annotations

import os
import resource
import sys

import pytest

from streamrvq.system.quiet import end_quiet, quiet_libraries
from tests.support.processes.children import needs_proc


def test_only_what_is_inside_is_unseen(capfd: pytest.CaptureFixture[str]) -> None:
    print("before", file=sys.stderr)
    with pytest.raises(KeyError), quiet_libraries():
        os.write(2, b"ALSA lib pcm.c:1: unknown PCM\n")
        raise KeyError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_what_hangs_inside_can_be_ended_from_without(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_libraries():
        os.write(2, b"unseen\n")
        end_quiet()
        os.write(2, b"seen\n")
    end_quiet()
    assert capfd.readouterr().err == "seen\n"


@needs_proc
def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with quiet_libraries():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


@needs_proc
@pytest.mark.parametrize("left", [0, 1])
def test_without_descriptors_all_is_seen_and_none_is_lost(capfd: pytest.CaptureFixture[str], left: int) -> None:
    """With one left, what the first call took must not be kept when the second fails."""
    before, taken = len(os.listdir("/proc/self/fd")), list[int]()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.dup(0))
        for _ in range(left):
            os.close(taken.pop())
        for _ in range(2):
            with quiet_libraries():
                os.write(2, b"seen\n")
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(os.listdir("/proc/self/fd")) == before
    assert capfd.readouterr().err == "seen\nseen\n"
