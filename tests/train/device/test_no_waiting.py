"""A step on a GPU has no number that the host reads and no tensor of the host: then it can be captured as a graph.

A meta tensor has no values. So an operation that reads one fails, and every operation is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from streamrvq.train import fast
from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.device import optimizer as optimizer_module
from streamrvq.train.device import step as step_module
from streamrvq.train.device.crops import DeviceCrops
from streamrvq.train.device.inputs import Inputs
from streamrvq.train.device.step import DeviceStep
from streamrvq.train.device.tally import Tally
from streamrvq.train.loop import Trainer
from tests.support.training.in_torch import InTorch
from tests.support.training.runs import audio_in, config_of


class Watch(TorchDispatchMode):
    """Collects the operations that read a number, or have a tensor of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)}
        if "cpu" in devices or func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero"):
            self.found.add(str(func))
        return result


@pytest.mark.parametrize(
    ("changes", "kernels"),
    [
        ({"adversarial_from": 0, "discriminator_width": 2}, None),
        ({"codebooks": "gradient"}, None),
        ({"precision": "bf16"}, None),
        ({"precision": "bf16"}, InTorch),
    ],
    ids=["adversarial", "gradient", "bf16", "fused"],
)
def test_a_step_reads_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], kernels: Any
) -> None:
    monkeypatch.setattr(fast, "usable", lambda x: kernels)
    adamw = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *args, **more: adamw(*args, **(more | {"fused": False})))
    monkeypatch.setattr(torch, "autocast", lambda *args, **more: contextlib.nullcontext())
    for module in (step_module, optimizer_module):  # torch has it fused for real devices only
        monkeypatch.setattr(module, "adamw", lambda *args: None)
    config = config_of(audio_in(tmp_path), plain_steps=0, shards=1, **changes)
    corpus = load(config.train, config.codec.sample_rate, tmp_path / "cache")
    crops = Crops(corpus, config.samples, config.batch, 0, {}, config.augment)
    device = torch.device("meta")
    trainer = Trainer(config, crops, "meta", waits=True)
    trainer._make_discriminators()
    trainer.model.train()
    entries = config.codec.n_codebooks * config.codec.codebook_size
    inputs = Inputs.empty(config.batch, entries, device)
    step = DeviceStep(trainer, DeviceCrops(crops, device), inputs, Tally(device), True, trainer.is_adversarial)
    with Watch() as watch:
        step()
    assert watch.operations > 1000
    assert watch.found == set()


def test_the_watch_sees_what_it_should() -> None:
    with Watch() as watch:
        torch.ones(3, device="meta") * torch.ones(())
    assert "aten.mul.Tensor" in watch.found
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones((), device="meta").item()
