"""The gradient balancer: brings the gradient of each loss at the decoder's output to length 1, clip by clip.

Without it quiet clips and log terms would dominate: the gradient of a log spectrum grows as 1 / level, and that of the
waveform does not, whatever the fixed weights.

Knows: how gradients are scaled and added. Does not know: which losses there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def balanced(losses: Mapping[str, Tensor], weights: Mapping[str, float], y: Tensor, keep: bool = False) -> Tensor:
    """The gradient to propagate back from ``y``.

    Args:
        losses: ``[B]`` each, functions of ``y``.
        weights: the length that the gradient of each loss gets. A loss of weight 0 is not differentiated.
        y: ``[B, T]``, a leaf.
        keep: whether the losses will be differentiated once more.

    Returns:
        ``[B, T]``: the weighted sum of unit gradients, divided by the batch size.
    """
    active = [name for name in losses if weights.get(name, 0.0)]
    total = torch.zeros_like(y)
    for name in active:
        (gradient,) = torch.autograd.grad(losses[name].sum(), y, retain_graph=keep or name != active[-1])
        norm = gradient.flatten(1).norm(dim=1, keepdim=True)
        total += gradient * (weights[name] / norm.clamp(min=1e-12))
    return total / y.shape[0]
