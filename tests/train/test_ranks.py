"""Processes that train together are one process with the whole batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.errors import ConfigError
from streamrvq.train.config import Augment
from streamrvq.train.corpus import Clip, Corpus
from streamrvq.train.data import Crops
from streamrvq.train.steps.ranks import ALONE, Ranks, find_ranks
from tests.support.patience import PATIENCE
from tests.support.training import together
from tests.support.training.runs import audio_in, config_of


def two_processes(command: list[Any]) -> tuple[list[subprocess.Popen[str]], list[list[str]], str]:
    """Run two ranks. Returns them, the words that each has said, and what the first wrote to stderr."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = []
    for rank in range(2):
        env = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
               "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE if rank == 0 else None, "text": True}
        processes.append(subprocess.Popen(command, env=os.environ | env, **pipes))
    try:
        out, err = processes[0].communicate(timeout=5 * PATIENCE)
        if processes[0].returncode:
            processes[1].kill()  # it would wait for the first
        return processes, [out.split(), processes[1].communicate(timeout=5 * PATIENCE)[0].split()], err
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    audio = audio_in(tmp_path / "audio")
    config = config_of(
        audio,
        batch=4,
        steps=4,
        plain_steps=1,
        adversarial_from=2,
        discriminator_width=1,
        warmup=3000,
        log_every=1,
        validate_every=9,
    )
    observed = together.train(config, audio / "cache", tmp_path / "one")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    command = [sys.executable, together.__file__, tmp_path / "config.json", audio / "cache", tmp_path / "two"]
    for _ in range(5):
        processes, said, said_wrong = two_processes(command)
        if "EADDRINUSE" not in said_wrong:  # else somebody took the port before they did
            break
    print(said_wrong, file=sys.stderr)
    assert [process.returncode for process in processes] == [0, 0]
    assert said == [[str(observed)], ["0"]]
    for name in ("host", "card"):
        ours, theirs = (state(tmp_path / count / name) for count in ("two", "one"))
        assert ours.keys() == theirs.keys()
        assert len(ours) > 200
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, rtol=2e-3, atol=3e-4, msg=f"{name} {key}")
        ours_log, theirs_log = (log(tmp_path / count / name) for count in ("two", "one"))
        assert [row["event"] for row in ours_log] == [row["event"] for row in theirs_log]
        for mine, other in zip(ours_log, theirs_log, strict=True):
            assert mine["step"] == other["step"]
            assert mine["audio_seconds"] == other["audio_seconds"]
            for figure in ("mel", "stft", "commitment", "adversarial", "feature", "gradient"):
                if figure in other:
                    assert mine[figure] == pytest.approx(other[figure], rel=5e-3), (name, mine["step"], figure)


def state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint that the next step depends on, without the optimisers'."""
    found = torch.load(folder / "checkpoint.pt", weights_only=True)
    parts = {name: found[name] for name in ("model", "average", "followers", "judges")}
    return {f"{name} {key}": value for name, part in parts.items() for key, value in part.items()}


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 2**40), st.sampled_from([1, 2, 3, 6]))
def test_the_parts_of_a_batch_are_the_batch(seed: int, step: int, world: int) -> None:
    samples = (np.arange(9000) % 4001).astype(np.int16)
    crops = Crops(Corpus((Clip("a", "a", 0, 9000),), samples, 44100), 1500, 6, seed, {}, Augment(mix=0.5, tilt=0.5))
    parts = [next(crops.batches(step, step + 1, Ranks(rank, world).rows(6))) for rank in range(world)]
    np.testing.assert_array_equal(np.concatenate(parts), crops.batch(step))


@pytest.mark.parametrize(
    "call",
    [
        lambda: Ranks(0, 2).sum_(torch.ones(2)),
        lambda: Ranks(0, 2).sum_(torch.ones(2), torch.ones(3)),
        lambda: Ranks(0, 2).mean(torch.ones(2)),
        lambda: Ranks(1, 2).same_([torch.ones(2)]),
        lambda: Ranks(1, 2).most(1),
        lambda: find_ranks("cpu"),
    ],
    ids=["sum", "sums", "mean", "same", "most", "found"],
)
def test_a_process_that_ended_is_said(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*given: object, **others: object) -> None:
        raise RuntimeError("Connection reset by peer")

    for name in ("all_reduce", "broadcast", "init_process_group"):
        monkeypatch.setattr(f"torch.distributed.{name}", failing)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=r"^another process .* \(Connection reset by peer\); wanted all of them"):
        call()


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, batch=8, shards=2)
    Ranks(1, 4).check(config)
    with pytest.raises(ConfigError, match="batch is 8, shards 2, and there are 3 processes; wanted a batch that is a "):
        Ranks(0, 3).check(config)


def test_without_torchruns_environment_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert find_ranks("cpu") == ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert find_ranks("cpu") == ALONE
    assert ALONE.place("cuda") == "cuda"
    assert Ranks(5, 8, 1).place("cuda") == "cuda:1"
