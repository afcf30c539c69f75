"""A step that an exception ends: what was not moved yet is kept, and what is half moved never is.

Knows: runs, where a step changes its state. Does not know: what a step computes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from streamrvq.errors import WeightsError
from streamrvq.train import checkpoint
from streamrvq.train.run import Run
from streamrvq.train.steps.ranks import Ranks
from streamrvq.weights import load_weights
from tests.support.training.runs import Silent, audio_in, config_of

STRUCK = 4  #: the step that an exception ends; the one before it has no checkpoint of its own
CHANGES: dict[str, Any] = {"steps": 6, "plain_steps": 1, "checkpoint_every": 3, "validate_every": 99}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def whole(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The codec hash of a run that nothing ended, and its seconds of audio."""
    with Run(config_of(audio, **CHANGES), tmp_path_factory.mktemp("whole"), Silent(), cache=audio / "cache") as run:
        assert run.go()
        return load_weights(run.weights_path).codec_hash, run.audio_seconds


@pytest.mark.parametrize(
    ("number", "kept"), [(1, STRUCK), (2, 3), (3, STRUCK + 1)], ids=["gradients", "means", "figures"]
)
def test_another_process_that_dies_leaves_a_whole_checkpoint(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[str, float], number: int, kept: int
) -> None:
    """The step's collective calls fail one after another: before anything was moved, in the middle, and afterwards."""
    with Run(config_of(audio, **CHANGES), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        calls: list[str] = []

        def called(name: str, done: int = 0) -> None:
            calls.extend([name] * (run.trainer.step >= STRUCK + done))
            if len(calls) == number:
                raise RuntimeError("Connection closed by peer")

        def mean(self: Ranks, tensor: torch.Tensor) -> torch.Tensor:
            called("mean", 1)
            return tensor

        monkeypatch.setattr(Ranks, "sum_", lambda self, *tensors: called("sum"))
        monkeypatch.setattr(Ranks, "mean", mean)
        with pytest.raises(RuntimeError, match="closed by peer"):
            run.go()
        assert calls == ["sum", "sum", "mean"][:number]
        assert checkpoint.read(run.checkpoint_path)["step"] == run.kept_step == kept
        monkeypatch.undo()
        if kept < STRUCK:  # nor is a step on top of a half one
            with pytest.raises(WeightsError, match=r"step 5 was left half done.*: open the run again; .* keeps step 3"):
                run.go()
            assert checkpoint.read(run.checkpoint_path)["step"] == kept
    with Run(config_of(audio, **CHANGES), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        assert run.go()
        assert (load_weights(run.weights_path).codec_hash, run.audio_seconds) == whole


def test_no_memory_for_the_discriminators_leaves_the_last_checkpoint(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = CHANGES | {"adversarial_from": 2, "discriminator_width": 1}

    def full(*_: Any) -> None:
        if run.trainer.step == STRUCK:
            raise RuntimeError("can't allocate memory")

    with Run(config_of(audio, **changes), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        monkeypatch.setattr("streamrvq.train.loop.train_discriminators", full)
        with pytest.raises(RuntimeError, match="allocate"):
            run.go()
        assert checkpoint.read(run.checkpoint_path)["step"] == 3


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The SIGTERMs that came; nothing else becomes of them, as in the command."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    yield came
    signal.signal(signal.SIGTERM, before)


def test_two_wishes_to_end_while_codebooks_are_made_again_keep_the_state(
    audio: Path, tmp_path: Path, told: list[int]
) -> None:
    class Impatient(Silent):
        def making(self, what: str, frames: int, share: float) -> None:
            if run.trainer.step > CHANGES["plain_steps"] and not told:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)

    config = config_of(audio, **CHANGES | {"codebooks_again": (0.7,), "checkpoint_every": 99})
    with Run(config, tmp_path / "run", Impatient(), cache=audio / "cache") as run:
        assert not run.go(until=lambda: bool(told))
        assert told == [signal.SIGTERM], "the second one is delivered at once, and the first one with it"
        assert checkpoint.read(run.checkpoint_path)["step"] == run.trainer.step == STRUCK
