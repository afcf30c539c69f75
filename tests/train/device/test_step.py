"""The step of a GPU, run on a CPU: it moves what the host's step moves, and waits for nothing in between.

Knows: Trainer. Does not know: graphs, for which a GPU is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.errors import WeightsError
from streamrvq.train import run as run_module
from streamrvq.train.config import TrainConfig
from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.device.graphs import WARM_UP, Captured
from streamrvq.train.device.optimizer import DeviceOptimizer, orthogonal
from streamrvq.train.loop import Trainer
from streamrvq.train.run import Run
from tests.support.training.runs import Silent, audio_in, config_of


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


def trainers(audio: Path, config: TrainConfig) -> tuple[Trainer, Trainer]:
    """One that looks at each step, and one that does not."""
    corpus = load(config.train, config.codec.sample_rate, audio / "cache")
    crops = Crops(corpus, config.samples, config.batch, config.seed, config.kinds, config.augment)
    return Trainer(config, crops), Trainer(config, crops, waits=False)


def values(trainer: Trainer) -> Iterator[tuple[str, torch.Tensor]]:
    yield from trainer.model.state_dict().items()
    yield from ((f"average {name}", value) for name, value in trainer.average.state_dict().items())
    yield "share", trainer.running_means.share
    yield "total", trainer.running_means.total
    if trainer.discriminators is not None:
        yield from trainer.discriminators.state_dict().items()


#: Rates so small that the roundings of two orders of summation do not grow.
CALM = {"warmup": 3000, "plain_steps": 0, "log_every": 1}


@pytest.mark.parametrize(
    "changes",
    [{}, {"codebooks": "gradient", "shards": 1}, {"adversarial_from": 1, "discriminator_width": 2}],
    ids=["plain", "gradient", "adversarial"],
)
def test_a_step_without_waiting_is_the_hosts_step(audio: Path, changes: dict[str, Any]) -> None:
    host, card = trainers(audio, config_of(audio, **(CALM | changes)))
    for mine, theirs in zip(host.batches(0, 3), card.batches(0, 3), strict=True):
        ours, others = host.train_step(mine), card.train_step(theirs)
        assert ours.keys() == others.keys()
        np.testing.assert_allclose(list(others.values()), list(ours.values()), rtol=2e-3)
    for (name, a), (_, b) in zip(values(host), values(card), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=3e-4, msg=name)
    assert card.runner is not None
    assert card.runner.operations is not None
    assert card.runner.operations > 1e6


def test_figures_are_read_when_they_are_due_and_are_means(audio: Path) -> None:
    host, card = trainers(audio, config_of(audio, **(CALM | {"log_every": 3})))
    assert card.runner is not None
    card.runner.longest_wait = float("inf")  # a loaded machine may take long for three steps
    figures = [card.train_step(batch) for batch in card.batches(0, 3)]
    assert figures[:2] == [{}, {}]
    wanted = [host.train_step(batch) for batch in host.batches(0, 3)]
    for name, value in figures[2].items():
        assert value == pytest.approx(sum(each[name] for each in wanted) / 3, rel=2e-3), name


@pytest.mark.parametrize("changes", [{}, {"adversarial_from": 0, "discriminator_width": 2}], ids=str)
def test_a_step_without_a_finite_gradient_changes_nothing(audio: Path, changes: dict[str, Any]) -> None:
    _, card = trainers(audio, config_of(audio, plain_steps=0, log_every=1, steps=99, **changes))
    batches = card.batches(0, 99)
    card.train_step(next(batches))
    assert card.lost == 0
    before = {name: value.clone() for name, value in values(card)}
    state = [v.clone() for v in tensors(card.optimizer.state_dict())]
    forward = card.losses.forward
    card.losses.forward = lambda x, y: forward(x, y) | {"mel": (y * float("nan")).sum(1)}  # type: ignore[method-assign]
    assert card.train_step(next(batches))["lost"] == 1
    assert card.lost == 1
    assert [name for name, value in values(card) if not torch.equal(value, before[name])] == []
    after = tensors(card.optimizer.state_dict())
    assert [torch.equal(a, b) for a, b in zip(state, after, strict=True)] == [True] * len(state)
    with pytest.raises(WeightsError, match="10 steps in a row to step 11 is nan"):
        for _ in range(9):
            card.train_step(next(batches))
    card.losses.forward = forward  # type: ignore[method-assign]
    batches.close()


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (dict, list, tuple)):
        return [t for each in (value.values() if isinstance(value, dict) else value) for t in tensors(each)]
    return []


def test_muon_for_all_matrices_of_a_shape_is_torchs(audio: Path) -> None:
    host, card = trainers(audio, config_of(audio))
    for trainer in (host, card):
        trainer.begin()
    steps = DeviceOptimizer(card.optimizer)
    for seed in range(2):
        torch.manual_seed(seed)
        for a, b in zip(host.parameters, card.parameters, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        host.optimizer.step(0.5, host.workers)
        steps.step(torch.tensor(0.5), torch.tensor(1.0))
    for a, b in zip(host.parameters, card.parameters, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=2e-4)  # iterations are in bfloat16
    ours, theirs = (each.optimizer.state_dict() for each in (card, host))
    assert [group["capturable"] for group in ours["adam"]["param_groups"]] == [False]
    for a, b in zip(tensors(ours), tensors(theirs), strict=True):
        torch.testing.assert_close(a, b)


def test_newton_schulz_makes_singular_values_alike() -> None:
    pile = torch.randn(3, 12, 40)
    for matrices in (pile, pile.mT):
        found = orthogonal(matrices, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
        assert found.shape == matrices.shape
        assert float(torch.linalg.svdvals(found).std()) < 0.3
        assert float((found * matrices).sum()) > 0


def test_a_run_goes_on_from_host_to_card_and_back(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(audio, adversarial_from=4, discriminator_width=2, steps=9)

    def go(until: int, waits: bool) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(run_module, "Trainer", lambda *args: Trainer(*args, waits=waits))
            with Run(config, tmp_path / "run", Silent(), cache=audio / "cache") as run:
                run.go(until=lambda: run.trainer.step == until)
                assert run.trainer.step == until
                assert run.trainer.is_finite

    for until, waits in ((3, True), (6, False), (7, True), (9, False)):
        go(until, waits)


def test_what_is_not_captured_is_called() -> None:
    calls: list[int] = []
    said: list[str] = []
    body = Captured(lambda: calls.append(1), None, said.append)
    for _ in range(WARM_UP):
        body()
    assert not body.is_settled
    body()
    assert body.is_settled
    assert len(calls) == WARM_UP + 1
    assert said == []
