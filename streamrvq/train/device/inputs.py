"""What a step on a GPU gets from the host: two flat tensors at fixed addresses, and names for their parts.

Knows: the parts, and how they are filled from a plan. Does not know: what is computed from them.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ..steps.plan import NODES, Plan


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of a step on ``B`` crops. All are views of ``whole`` (int64) and ``real`` (float32).

    Attributes:
        at, first, last, mix, nodes, tilted, gain: see `Plan`; ``nodes`` less their mean, ``tilted`` as 0 or 1.
        used: int64 ``[B]``, levels that each row uses.
        chosen: int64 ``[K·size]``, frames that may replace dead entries.
        rate: float32 ``[]``, the factor on the learning rates.
        follow: float32 ``[]``, how far the average moves towards the weights.
    """

    whole: Tensor
    real: Tensor
    at: Tensor
    first: Tensor
    last: Tensor
    used: Tensor
    chosen: Tensor
    mix: Tensor
    nodes: Tensor
    tilted: Tensor
    gain: Tensor
    rate: Tensor
    follow: Tensor

    @classmethod
    def empty(cls, batch: int, entries: int, device: torch.device, pinned: bool = False) -> Inputs:
        """Inputs for ``batch`` crops and ``entries`` entries in all, on ``device``; or pinned ones on the host."""
        pair, row = (batch, 2), (batch,)
        whole, ints = _views([pair, pair, pair, row, (entries,)], torch.int64, device, pinned)
        real, floats = _views([row, (batch, NODES), row, row, (), ()], torch.float32, device, pinned)
        return cls(whole, real, *ints, *floats)

    def fill(self, plan: Plan, used: Tensor, chosen: Tensor, rate: float, follow: float) -> None:
        """Write the values of a step. On the host only."""
        for name in ("at", "first", "last"):
            getattr(self, name).copy_(torch.from_numpy(getattr(plan, name)))
        self.used.copy_(used)
        self.chosen.copy_(chosen)
        self.mix.copy_(torch.from_numpy(plan.mix))
        self.nodes.copy_(torch.from_numpy(plan.nodes - plan.nodes.mean(1, keepdims=True)))
        self.tilted.copy_(torch.from_numpy(plan.tilted))
        self.gain.copy_(torch.from_numpy(plan.gain))
        self.rate.fill_(rate)
        self.follow.fill_(follow)

    def take(self, other: Inputs) -> None:
        """Copy from pinned inputs, without waiting."""
        self.whole.copy_(other.whole, non_blocking=True)
        self.real.copy_(other.real, non_blocking=True)


def _views(
    shapes: list[tuple[int, ...]], dtype: torch.dtype, device: torch.device, pinned: bool
) -> tuple[Tensor, list[Tensor]]:
    sizes = [math.prod(shape) for shape in shapes]
    flat = torch.zeros(sum(sizes), dtype=dtype, device=device, pin_memory=pinned)
    return flat, [part.view(shape) for part, shape in zip(torch.split(flat, sizes), shapes, strict=True)]
