"""Ctrl-C and SIGTERM during a bulk run, once and twice, at any moment, and with workers that do not answer.

The run is a command in a process of its own, and gets real signals. Each test waits until something is there: workers,
their unfinished shards, the end.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest

from streamrvq.corpus import encode_corpus, processes
from streamrvq.weights import save_weights
from tests.support.command import process
from tests.support.contract import tiny, weights_of
from tests.support.corpora import rows_in, silence
from tests.support.patience import PATIENCE
from tests.support.processes.children import is_there, needs_proc, until, workers_of

pytestmark = needs_proc

FILES, SECONDS, RATE = 4, 12 * 3600, 44100
SHORT_FILES, SHORT_SECONDS = 10, 24  #: at first: a machine that ends them before it is interrupted gets longer ones


class Bulk(NamedTuple):
    audio: Path
    weights: Path
    shard_mib: float = 0.1

    def start(self, out: Path, workers: int = 2, **settings: Any) -> subprocess.Popen[bytes]:
        """The command. Every file becomes a shard of its own."""
        return process("encode", self.audio, "--codec", self.weights, "--shards", out, "--shard-mib", self.shard_mib,
                       "--workers", workers, **settings)  # fmt: skip


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Bulk:
    """Files of silence, long enough that no worker ends one before it is interrupted. They take no place."""
    folder = tmp_path_factory.mktemp("bulk")
    save_weights(weights_of(tiny(causal=True)), folder / "tiny.safetensors")
    (folder / "in").mkdir()
    for number in range(FILES):
        silence(folder / "in" / f"{number}.wav", SECONDS, RATE)
    return Bulk(folder / "in", folder / "tiny.safetensors")


def short(folder: Path, bulk: Bulk, seconds: int) -> Bulk:
    """More files and shorter ones, for a run that comes to its end. Every file still becomes a shard of its own."""
    folder.mkdir()
    for number in range(SHORT_FILES):
        silence(folder / f"{number}.wav", seconds, RATE)
    return Bulk(folder, bulk.weights, shard_mib=0.04)


def unfinished(out: Path) -> list[Path]:
    return list(out.glob(".shard-*.part"))


def ended(run: subprocess.Popen[bytes], workers: list[int]) -> tuple[int, bytes, bytes]:
    """The exit code, stdout and stderr of a run; none of its workers may be left."""
    out, err = run.communicate(timeout=PATIENCE)
    assert [pid for pid in workers if is_there(pid)] == []
    return run.returncode, out, err


@pytest.mark.parametrize("gap", [0.0, 0.02, 0.1, 0.3])
def test_two_interrupts_end_it_and_leave_nothing_unfinished(tmp_path: Path, bulk: Bulk, gap: float) -> None:
    run = bulk.start(tmp_path / "out")
    until("two unfinished shards", lambda: len(unfinished(tmp_path / "out")) == 2)
    workers = workers_of(run.pid)
    run.send_signal(signal.SIGINT)
    time.sleep(gap)
    run.send_signal(signal.SIGINT)
    assert ended(run, workers) == (130, b"", b"")
    assert unfinished(tmp_path / "out") == []


@pytest.mark.parametrize("times", [1, 2, 3])
def test_an_interrupt_while_workers_start(tmp_path: Path, bulk: Bulk, times: int) -> None:
    run = bulk.start(tmp_path / "out")
    until("workers", lambda: workers_of(run.pid))
    workers = workers_of(run.pid)
    for _ in range(times):
        run.send_signal(signal.SIGINT)
    assert ended(run, workers) == (130, b"", b"")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_worker_is_killed_and_named(tmp_path: Path, bulk: Bulk, number: int, code: int) -> None:
    run = bulk.start(tmp_path / "out")
    until("two unfinished shards", lambda: len(unfinished(tmp_path / "out")) == 2)
    workers = workers_of(run.pid)
    os.kill(workers[0], signal.SIGSTOP)
    run.send_signal(number)
    left, out, err = ended(run, workers)
    assert (left, out) == (code, b"")
    (line,) = err.decode().splitlines()
    assert f"the worker process {workers[0]}, at shard-0" in line
    assert unfinished(tmp_path / "out") == []


def test_a_second_interrupt_waits_for_no_stopped_worker(tmp_path: Path, bulk: Bulk) -> None:
    run = bulk.start(tmp_path / "out")
    until("two unfinished shards", lambda: len(unfinished(tmp_path / "out")) == 2)
    workers = workers_of(run.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGTERM)
    left, out, err = ended(run, workers)
    assert left in (130, 143)
    assert (out, err) == (b"", b"")
    assert unfinished(tmp_path / "out") == []


@pytest.mark.parametrize("workers", [1, 2])
def test_termination_stops_it_in_order_and_it_goes_on(tmp_path: Path, bulk: Bulk, workers: int) -> None:
    for seconds in (SHORT_SECONDS << more for more in range(10)):
        few, out = short(tmp_path / str(seconds), bulk, seconds), tmp_path / f"out-{seconds}"
        run = few.start(out, workers)
        until("a shard", lambda out=out: list(out.glob("*.parquet")))
        started = workers_of(run.pid)
        run.send_signal(signal.SIGTERM)
        end = ended(run, started)
        assert unfinished(out) == []
        done = len(list(out.glob("*.parquet")))
        if done == SHORT_FILES:
            continue  # the signal came too late
        assert end == (143, b"", b"")
        assert done > 0
        again = encode_corpus([few.audio], out, few.weights, workers=1, shard_bytes=int(0.04 * 2**20))
        assert again.written == SHORT_FILES - done
        assert sum(row["num_samples"] for row in rows_in(out)) == SHORT_FILES * seconds * RATE
        return
    pytest.fail("no run was interrupted before its end")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_workers_too(tmp_path: Path, bulk: Bulk, number: int, code: int) -> None:
    """As a terminal sends it, and as a service manager does."""
    run = bulk.start(tmp_path / "out", start_new_session=True)
    until("two unfinished shards", lambda: len(unfinished(tmp_path / "out")) == 2)
    workers = workers_of(run.pid)
    os.killpg(run.pid, number)
    assert ended(run, workers) == (code, b"", b"")
    assert unfinished(tmp_path / "out") == []


def test_an_answer_that_came_while_nobody_looked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The time is over at the first look, as after a pause of the run: who has answered is not said to hang."""
    monkeypatch.setattr(processes, "STOP_WITHIN", 0.0)
    ours, theirs = multiprocessing.Pipe()
    worker = processes.Worker(multiprocessing.get_context("spawn").Process(), ours)  # never started
    worker.shards.append(Mock())
    for answer in ("written", "stopped"):
        theirs.send((answer, "", ""))
    workers = processes.Workers(Mock(), 0)
    workers._workers.append(worker)
    with caplog.at_level(logging.WARNING, logger="streamrvq"):
        workers.end(lambda: False)
    assert caplog.messages == []
