"""The bare engine's processes: how they end, and the devices that they compute on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from streamrvq.bench import bulk
from streamrvq.errors import EngineError
from tests.support.command import Run


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


def test_what_a_process_refuses_is_said(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(EngineError, match=r"device is 'nowhere:3'; wanted"):
        bulk._bare(str(weights), 2, 0.1, (1, 1), ("cpu", "nowhere:3"))  # the first waits for the second
    assert set(multiprocessing.active_children()) <= before
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("device", ["nowhere:3", "cuda:99", "cuda:" + "9" * 5000])
def test_a_device_that_is_not_there_starts_nothing(
    run: Run, weights: Path, wav: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    def start(processes: Any) -> None:
        raise AssertionError("processes were started")

    monkeypatch.setattr(bulk, "start_children", start)
    sentence = run("bench", weights, "--corpus", wav, "--workers", 2, "--device", device).sentence
    assert device.partition(":")[0] in sentence


def test_the_cpu_is_one_thread_for_each_process(weights: Path, wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the run that is compared with it."""
    devices: list[Any] = []

    def bare(*of: Any) -> float:
        devices.append(of[4])
        return 1.0

    monkeypatch.setattr(bulk, "_bare", bare)
    bulk.run_bulk(str(weights), [str(wav)], workers=1, devices="cpu", rounds=1, seconds=0.01)
    assert set(devices) == {()}
