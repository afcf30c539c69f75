"""The kernels of Snake for a GPU, in torch's own operations: they need neither a GPU nor Triton.

Knows: the functions of snake_kernels.py and their formulas. Does not know: who calls them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class InTorch:
    """`snake_kernels` in torch's own operations."""

    @staticmethod
    def forward(x: Tensor, alpha: Tensor, bias: Tensor | None, left: int) -> Tensor:
        v = x.float() if bias is None else x.float() + bias
        return F.pad(v + torch.sin(v * alpha).square() / (alpha + 1e-9), (0, 0, left, 0)).to(x.dtype)

    @staticmethod
    def backward(
        x: Tensor, alpha: Tensor, bias: Tensor | None, g: Tensor, more: Tensor | None, right: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        v, d, scale = (x if bias is None else x + bias).float(), g.float(), 1 / (alpha + 1e-9)
        gx = d * (1 + torch.sin(2 * v * alpha) * alpha * scale)
        to_alpha = d * (v * torch.sin(2 * v * alpha) - torch.sin(v * alpha).square() * scale) * scale
        whole = gx if more is None else gx + more.float()
        return F.pad(whole, (0, 0, 0, right)).to(x.dtype), to_alpha.sum((0, 1)), gx.sum((0, 1))

    @staticmethod
    def padded(g: Tensor, right: int) -> tuple[Tensor, Tensor]:
        return (F.pad(g, (0, 0, 0, right)) if right else g), g.float().sum((0, 1))
