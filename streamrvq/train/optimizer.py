"""The optimiser of a run: AdamW, and which weights move at which share of the rate.

Knows: why they differ. Does not know: the rate (loop.py).
"""

from __future__ import annotations

import torch
from torch import nn

from ..nn import CodecModel
from .config import TrainConfig
from .start import front


def optimizer(model: CodecModel, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over what of ``model`` asks for a gradient; each group's ``share`` of the rate is in the group.

    Adam moves every number by about the rate. Directions are large (start.steady); a gain, a bias or an alpha is not,
    and that much of it at every step is a noise that the quietest passages show first. The stem and the level meter
    behind it are filters: what they move by is what loud bands leak into quiet ones.
    """
    slow = front(model.config)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.endswith("weight_v"), name.startswith(slow)), []).append(parameter)
    shares = [(1.0 if v else config.small_lr) * (config.front_lr if is_front else 1.0) for v, is_front in groups]
    return torch.optim.AdamW(
        [{"params": some, "share": share} for share, some in zip(shares, groups.values(), strict=True)],
        config.lr, config.betas, weight_decay=config.weight_decay, fused=True,
    )  # fmt: skip
