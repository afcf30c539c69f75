"""How a run ends, whatever ends it: what is kept is whole, is said, and is never worse than what was kept before."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from streamrvq.errors import ConfigError, InputError, WeightsError
from streamrvq.train import adversarial, checkpoint
from streamrvq.train.run import Run
from streamrvq.weights import load_weights
from tests.support.hostile.small_files import small_files
from tests.support.patience import PATIENCE
from tests.support.training.runs import CODEC, Silent, audio_in, config_of
from tools.training import ablation


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def whole(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The codec hash of a run that nothing ended."""
    with Run(config_of(audio), tmp_path_factory.mktemp("whole"), Silent(), cache=audio / "cache") as run:
        assert run.go()
        return load_weights(run.weights_path).codec_hash


class Ending(Silent):
    """Does something when ``share`` of the codebooks is made."""

    def __init__(self, share: float, act: Any) -> None:
        super().__init__()
        self._share, self._act = share, act

    def making(self, what: str, frames: int, share: float) -> None:
        super().making(what, frames, share)
        if what == "codebooks" and share >= self._share:
            self._act()


def test_a_run_that_was_killed_in_its_last_validation_is_validated(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*given: object, **others: object) -> None:
        raise KeyboardInterrupt

    config = config_of(audio, steps=3)
    with monkeypatch.context() as patched, Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
        patched.setattr("streamrvq.train.run.validate", killed)
        with pytest.raises(KeyboardInterrupt):
            run.go()
        assert run.kept_step == 3
    for count in (1, 0):  # and not once more
        observer = Silent()
        with Run(config, tmp_path / "run", observer, cache=audio / "cache") as run:
            assert run.go()
        assert len(observer.validations) == count


def test_a_table_of_variants_has_no_longer_runs(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(config_of(audio, adversarial_from=None).to_dict()))
    monkeypatch.setattr(ablation, "CONFIG", tmp_path / "tiny.json")
    given = {"data": audio / "train", "validation": audio / "validation", "out": tmp_path / "runs", "device": "cpu"}
    for steps in (4, 3, 4, 5):
        arguments = argparse.Namespace(**given, cache=audio / "cache", steps=steps)
        if steps == 3:
            with pytest.raises(ConfigError, match="holds a run of 4 steps; wanted at most 3: raise --steps, or change"):
                ablation.run("as shipped", arguments, Console())
        else:
            assert ablation.run("as shipped", arguments, Console())["mel"] > 0


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_an_interrupt_ends_the_making_of_codebooks(audio: Path, tmp_path: Path, whole: str, share: float) -> None:
    observer = Ending(share, lambda: signal.raise_signal(signal.SIGINT))
    with Run(config_of(audio), tmp_path / "run", observer, cache=audio / "cache") as run:
        with pytest.raises(KeyboardInterrupt):
            run.go()
        assert run.kept_step == run.trainer.step == 2
        assert observer.made[-1][2] < share + 0.1  # at once
    with Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        assert run.go()
    assert load_weights(tmp_path / "run" / "tiny.safetensors").codec_hash == whole


def test_a_wish_to_end_is_heard_while_codebooks_are_made(audio: Path, tmp_path: Path) -> None:
    wishes: list[bool] = []
    observer = Ending(0.7, lambda: wishes.append(True))
    with Run(config_of(audio, plain_steps=0), tmp_path / "run", observer, cache=audio / "cache") as run:
        assert not run.go(until=lambda: bool(wishes))
        assert (run.trainer.step, run.kept_step, len(wishes)) == (0, None, 1)
        assert run.kept.startswith("nothing is kept")
        assert not run.checkpoint_path.exists()


def test_minutes_of_none_make_no_step(audio: Path, tmp_path: Path) -> None:
    with Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        assert not run.go(0)
        assert run.kept_step is None
        for minutes in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ConfigError, match="wanted a number of at least 0"):
                run.go(minutes)


def test_numbers_that_are_not_finite_never_replace_a_checkpoint(audio: Path, tmp_path: Path) -> None:
    config = config_of(audio, steps=99, checkpoint_every=1, plain_steps=1)
    with Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
        run.go(until=lambda: run.trainer.step == 4)
        good, weights = run.checkpoint_path.read_bytes(), run.weights_path.read_bytes()
        run.trainer.losses.forward = lambda x, y: {"mel": (y * float("nan")).sum(1)}  # type: ignore[method-assign]
        with pytest.raises(WeightsError, match=r"10 steps in a row to step 14 is nan; .* keeps step 4, and the same"):
            run.go()
        assert (run.checkpoint_path.read_bytes(), run.weights_path.read_bytes()) == (good, weights)
    with Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
        with torch.no_grad():
            next(run.trainer.average.parameters()).fill_(float("inf"))
        with pytest.raises(WeightsError, match=r"weights of step 5 are not finite; .* keeps step 4"):
            run.go()
        assert run.checkpoint_path.read_bytes() == good


def test_a_run_whose_last_step_is_lost_keeps_the_steps_before_it(audio: Path, tmp_path: Path) -> None:
    """Going on from an older checkpoint would lose the same step again."""
    config = config_of(audio, steps=8, checkpoint_every=5)
    with Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
        forward = run.trainer.losses.forward

        def lost(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
            nan = float("nan") if run.trainer.step in (4, 7) else 1.0
            return {name: value * nan for name, value in forward(x, y).items()}

        run.trainer.losses.forward = lost  # type: ignore[method-assign]
        assert not run.go(until=lambda: run.trainer.step == 5)
        assert run.kept_step is None, "step 6 might have no finite gradient, either"
        assert run.go()
        assert run.trainer.lost == 1
        assert run.kept_step == 8
    with Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
        assert run.trainer.step == 8


ADVERSARIAL: dict[str, Any] = {
    "adversarial_from": 0,
    "discriminator_width": 2,
    "plain_steps": 0,
    "batch": 1,
    "shards": 1,
}


def test_a_gradient_of_the_discriminators_that_is_not_finite_changes_nothing(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = adversarial.discriminator_loss

    def numbers(run: Run) -> list[torch.Tensor]:
        discriminators, optimizer = run.trainer.discriminators, run.trainer.discriminator_optimizer
        assert discriminators is not None
        moments = [value for state in optimizer.state.values() for value in state.values()]
        return [value.clone() for value in [*discriminators.state_dict().values(), *moments]]

    with Run(config_of(audio, **ADVERSARIAL), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        run.go(until=lambda: run.trainer.step == 2)
        before = numbers(run)
        weights = [value.clone() for value in run.trainer.model.state_dict().values()]
        with monkeypatch.context() as patch:
            patch.setattr(adversarial, "discriminator_loss", lambda *args: real(*args) * float("nan"))
            run.go(until=lambda: run.trainer.step == 4)
        assert run.trainer.lost == 0
        assert [torch.equal(a, b) for a, b in zip(before, numbers(run), strict=True)] == [True] * len(before)
        after = run.trainer.model.state_dict().values()
        assert not all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))  # the codec went on
    with Run(config_of(audio, **ADVERSARIAL), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        assert run.go()
        assert not all(torch.equal(a, b) for a, b in zip(before, numbers(run), strict=True))


def test_discriminators_that_are_not_finite_never_replace_a_checkpoint(audio: Path, tmp_path: Path) -> None:
    with Run(config_of(audio, **ADVERSARIAL), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        run.go(until=lambda: run.trainer.step == 2)
        good = run.checkpoint_path.read_bytes()
        assert run.trainer.discriminators is not None
        with torch.no_grad():
            next(run.trainer.discriminators.parameters()).fill_(float("nan"))
        with pytest.raises(WeightsError, match=r"step 2 are not finite; .* keeps step 2"):
            run.save()
        assert run.checkpoint_path.read_bytes() == good


def test_a_process_killed_between_weights_and_checkpoint_leaves_no_older_weights(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As if the process were gone."""

    def killed(path: Path, state: Any) -> None:
        raise Killed

    with Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        run.go(until=lambda: run.trainer.step == 4)
        monkeypatch.setattr(checkpoint, "save", killed)
        with pytest.raises(Killed):
            run.go()
    assert checkpoint.read(tmp_path / "run" / "checkpoint.pt")["step"] == 4
    steps = int(load_weights(tmp_path / "run" / "tiny.safetensors").training.split()[0])
    assert steps > 4


def test_a_full_disk_is_said_and_keeps_the_last_checkpoint(audio: Path, tmp_path: Path) -> None:
    with Run(config_of(audio), tmp_path / "run", Silent(), cache=audio / "cache") as run:
        run.go(until=lambda: run.trainer.step == 4)
        good = run.checkpoint_path.read_bytes()
        with (
            small_files(len(good) // 2),
            pytest.raises(WeightsError, match=r"cannot write .*checkpoint\.pt.* keeps step 4"),
        ):
            run.go()
        assert run.checkpoint_path.read_bytes() == good
        assert list((tmp_path / "run").glob(".*.part")) == []
    with small_files(1000), pytest.raises(InputError, match=r"cannot write decoded audio to .*: make room"):
        Run(config_of(audio), tmp_path / "new", Silent())


SCRIPT = """
import sys
from streamrvq.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_says_what_is_kept(audio: Path, tmp_path: Path, number: int, code: int) -> None:
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in CODEC.to_dict().items())
    (tmp_path / "t.toml").write_text(
        'name = "tiny"\nbatch = 2\nsteps = 1000000\ncodebook_frames = 256\n[codec]\n' + settings
    )
    command = [sys.executable, "-c", SCRIPT, "train", tmp_path / "t.toml", "--out", tmp_path / "run", "--data",
               audio / "train"]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("step 1 "):
                break
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, "".join([*said, err])
    assert "checkpoint.pt keeps step " in " ".join(err.split())
    assert checkpoint.read(tmp_path / "run" / "checkpoint.pt")["step"] >= 1
