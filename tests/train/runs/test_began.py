"""A run goes on as it began, whatever it is called with: with weights or without, to the bit, with its settings.

Knows: runs that end early, and the same runs without an end. Does not know: how good they get.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from streamrvq.errors import ConfigError, WeightsError
from streamrvq.train.run import Run
from streamrvq.train.runs.folder import RECORD
from streamrvq.weights import Weights, load_weights
from tests.support.training.runs import Silent, audio_in, config_of

STOP, STEPS = 2, 7
#: Weights have codebooks, so a run that began with them has no plain steps, whatever its configuration says.
CHANGES: dict[str, Any] = {"steps": STEPS, "plain_steps": 4, "codebooks_again": (0.7,), "log_every": 1}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def weights(audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("weights")
    trained(audio, folder, steps=3)
    return load_weights(folder / "tiny.safetensors")


def trained(audio: Path, folder: Path, first: Weights | None = None, stop: int | None = None, **changes: Any) -> Silent:
    """What is said of a run in ``folder`` that goes on to its end, or to the step ``stop``."""
    observer = Silent()
    with Run(config_of(audio, **changes), folder, observer, cache=audio / "cache", weights=first) as run:
        run.go(until=lambda: run.trainer.step == stop)
    return observer


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All that a checkpoint holds, by its path in it."""
    found: dict[str, torch.Tensor] = {}

    def walk(value: Any, at: str) -> None:
        if isinstance(value, torch.Tensor):
            found[at] = value
        elif isinstance(value, dict):
            for key, part in value.items():
                walk(part, f"{at}/{key}")
        elif isinstance(value, (list, tuple)):
            for number, part in enumerate(value):
                walk(part, f"{at}/{number}")

    walk(torch.load(folder / "checkpoint.pt", weights_only=True), "")
    return found


def assert_same(ours: Path, theirs: Path) -> None:
    a, b = tensors(ours), tensors(theirs)
    assert len(a) > 50
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    curves = [
        [{name: row[name] for name in ("step", "lr", "mel", "commitment") if name in row} for row in rows(folder)]
        for folder in (ours, theirs)
    ]
    assert curves[0] == curves[1]


def rows(folder: Path) -> list[dict[str, Any]]:
    """Those of steps in its log."""
    every = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [row for row in every if row["event"] == "train"]


@pytest.fixture(scope="module")
def whole(audio: Path, weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The folders of runs without an interruption, by whether they began with weights."""
    folders = {began: tmp_path_factory.mktemp(f"whole-{began}") / "run" for began in (False, True)}
    for began, folder in folders.items():
        trained(audio, folder, weights if began else None, **CHANGES)
    return folders


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("began", [False, True])
def test_it_is_the_uninterrupted_run_with_and_without_from(
    audio: Path, weights: Weights, whole: dict[bool, Path], tmp_path: Path, began: bool, repeated: bool
) -> None:
    trained(audio, tmp_path / "run", weights if began else None, stop=STOP, **CHANGES)
    said = trained(audio, tmp_path / "run", weights if repeated else None, **CHANGES)
    assert_same(tmp_path / "run", whole[began])
    not_those = any("did not begin with the weights of --from" in text for text in said.remarks)
    assert not_those is (repeated and not began)
    assert [text for text in said.remarks if "other settings" in text] == []
    assert {what for what, _, _ in said.made} == {"codebooks"}  # at step 5; and without weights at step 4 as well


def test_the_log_has_the_rate_of_a_run_that_began_with_weights(whole: dict[bool, Path]) -> None:
    """It rises once, over two steps. The configuration's plain steps would have it rise a second time."""
    rates = {began: [row["lr"] for row in rows(folder)] for began, folder in whole.items()}
    assert rates[True][1:] == sorted(rates[True][1:], reverse=True)
    assert rates[False][4] < rates[False][5]


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("began", [False, True])
def test_a_run_without_a_record_goes_on_as_its_checkpoint_says_or_is_refused(
    audio: Path, weights: Weights, whole: dict[bool, Path], tmp_path: Path, began: bool, repeated: bool
) -> None:
    """As of an older version. Its checkpoint has the plain steps that held."""
    trained(audio, tmp_path / "run", weights if began else None, stop=STOP, **CHANGES)
    (tmp_path / "run" / RECORD).unlink()
    again = weights if repeated else None
    if began and not repeated:
        with pytest.raises(ConfigError, match="holds a run with plain_steps 0, and this one has 4"):
            trained(audio, tmp_path / "run", again, **CHANGES)
        return
    trained(audio, tmp_path / "run", again, **CHANGES)
    assert_same(tmp_path / "run", whole[began])
    assert json.loads((tmp_path / "run" / RECORD).read_text())["weights"] == (weights.codec_hash if began else None)


def test_weights_of_another_codec_are_refused_when_a_run_goes_on(audio: Path, weights: Weights, tmp_path: Path) -> None:
    other = dataclasses.replace(config_of(audio).codec, latent_dim=24)
    trained(audio, tmp_path / "run", codec=other, steps=1)
    with pytest.raises(WeightsError, match="of another codec"):
        trained(audio, tmp_path / "run", weights, codec=other, steps=1)


def test_settings_that_a_run_goes_on_with_hold(audio: Path, tmp_path: Path) -> None:
    """A checkpoint has the optimisers' own copies of some."""
    judged: dict[str, Any] = {"adversarial_from": 0, "discriminator_width": 2, "discriminator_lr": 1e-3, "ns_steps": 5}
    trained(audio, tmp_path / "run", stop=1, **judged)
    now = {**judged, "discriminator_lr": 2e-3, "ns_steps": 3, "lr": 2e-3}
    observer = Silent()
    with Run(config_of(audio, **now), tmp_path / "run", observer, cache=audio / "cache") as run:
        assert [text for text in observer.remarks if "ns_steps 5 → 3" in text] != []
        (judge,) = run.trainer.discriminator_optimizer.param_groups
        assert judge["lr"] == 2e-3
        assert {group["ns_steps"] for muon in run.trainer.optimizer.muons for group in muon.param_groups} == {3}
        assert len(judge["params"]) > 0
