"""The optimisers of a run: Muon for the matrices of encoder and decoder, AdamW for everything else.

The gradient of a convolution has almost rank one: loud and steady sounds dominate it. Adam makes all its numbers
equally large, so a step in that one direction is as long as the matrix is wide. A network that starts as a transform
codec then forgets it within a hundred steps, at any rate that teaches it something. Muon (Jordan 2024,
``torch.optim.Muon``) gives all directions of a step the same length, and so preserves the others.

Knows: why there are two, and how a convolution is a matrix. Does not know: the rate (steps/schedule.py).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..nn import CodecModel
from .config import TrainConfig


class Optimizer:
    """Moves the parameters of ``model`` that require a gradient.

    Args:
        model: on its device; its convolutions are plain (``weight_norm=False``).
        config: of the run. ``lr`` is the step of a matrix whose singular values are about 1; ``small_lr`` is the step
            of any other number.

    Raises:
        ConfigError: this torch is too old and has no Muon.
    """

    def __init__(self, model: CodecModel, config: TrainConfig) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(f"torch {torch.__version__} has no torch.optim.Muon; wanted torch 2.9 or later to train")
        wanted = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.matrices = [p for name, p in wanted if _is_matrix(name, p)]
        # Each is a matrix that shares the parameter's memory: Muon takes only matrices.
        self.flat = [nn.Parameter(p.detach().flatten(1)) for p in self.matrices]
        self.adam = torch.optim.AdamW(
            [p for name, p in wanted if not _is_matrix(name, p)],
            config.small_lr, config.betas, weight_decay=config.weight_decay, fused=True,
        )  # fmt: skip
        self.muons = [
            torch.optim.Muon([matrix], lr=config.lr, weight_decay=config.weight_decay, ns_steps=config.ns_steps)
            for matrix in sorted(self.flat, key=_cost, reverse=True)
        ]
        self.config = config

    def step(self, share: float, workers: Executor) -> None:
        """One step at ``share`` times the rates. The ``workers`` divide the matrices among them."""
        for flat, parameter in zip(self.flat, self.matrices, strict=True):
            flat.grad = None if parameter.grad is None else parameter.grad.flatten(1)
        for optimizer, rate in [(self.adam, self.config.small_lr), *((muon, self.config.lr) for muon in self.muons)]:
            for group in optimizer.param_groups:
                group["lr"] = share * rate
        jobs: list[Callable[[], Any]] = [muon.step for muon in self.muons]
        list(workers.map(lambda job: job(), [*jobs, self.adam.step]))

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self.adam.state_dict(), "muon": [muon.state_dict() for muon in self.muons]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`, with the settings of this run's configuration."""
        load_state(self.adam, state["adam"])
        for muon, mine in zip(self.muons, state["muon"], strict=True):
            load_state(muon, mine)


def load_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """``optimizer.load_state_dict`` without the settings in ``state``: a run may go on with others."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, mine in zip(optimizer.param_groups, settings, strict=True):
        group.update(mine)


def _is_matrix(name: str, p: Tensor) -> bool:
    """Whether ``p`` is a convolution from channels to channels. Convolutions from or to samples are filters."""
    return p.ndim == 3 and not name.startswith("quantizer.") and min(p.shape[0], p.shape[1]) > 1


def _cost(p: Tensor) -> int:
    return p.numel() * min(p.shape)
