"""What a step on a GPU needs of a trainer: the interface between it and loop.py.

Knows: names and types. Does not know: how any of it is made or saved.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ...nn import CodecModel
from ..adversarial import Discriminators
from ..codebooks import RunningMeans
from ..config import TrainConfig
from ..data import Crops
from ..losses import Losses
from ..optimizer import Optimizer
from ..steps.ranks import Ranks


class Trained(Protocol):
    """What is trained, and with what; see `loop.Trainer`."""

    config: TrainConfig
    crops: Crops
    device: torch.device
    ranks: Ranks
    model: CodecModel
    average: CodecModel
    losses: Losses
    running_means: RunningMeans
    optimizer: Optimizer
    discriminators: Discriminators | None
    discriminator_optimizer: torch.optim.AdamW
    step: int

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def parameters(self) -> list[nn.Parameter]: ...

    @property
    def is_adversarial(self) -> bool: ...

    def take_replaced(self, replaced: Tensor) -> None: ...
