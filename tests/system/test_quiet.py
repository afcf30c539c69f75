"""Libraries' notes are kept off stderr, and ours come through before and after."""

from __future__ import annotations

import os
import sys

import pytest

from streamrvq.system.quiet import end_quiet, quiet_libraries


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


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with quiet_libraries():
            pass
    assert len(os.listdir("/proc/self/fd")) == before
