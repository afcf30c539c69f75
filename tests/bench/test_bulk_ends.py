"""The bare engine's processes end with the run that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from streamrvq.bench import bulk
from streamrvq.errors import EngineError


def test_a_process_that_dies_ends_the_others(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = bulk.start_children

    def start_and_kill(processes: list[multiprocessing.Process]) -> None:
        start(processes)
        os.kill(processes[0].pid or 0, signal.SIGKILL)

    monkeypatch.setattr(bulk, "start_children", start_and_kill)
    before = set(multiprocessing.active_children())
    with pytest.raises(EngineError, match="died"):
        bulk._bare(str(weights), 2, 0.1, (1, 1))
    assert set(multiprocessing.active_children()) <= before


def test_an_interrupt_ends_all(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = bulk.start_children

    def start_and_interrupt(processes: list[multiprocessing.Process]) -> None:
        start(processes)
        os.kill(processes[0].pid or 0, signal.SIGSTOP)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(bulk, "start_children", start_and_interrupt)
    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        bulk._bare(str(weights), 2, 0.1, (1, 1))
    assert set(multiprocessing.active_children()) <= before
