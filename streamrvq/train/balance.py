"""The gradient balancer: each loss's gradient at the decoder's output is brought to length 1, clip by clip.

Knows: why: the gradient of a log spectrum grows as 1 / level, and that of the waveform does not, so that with fixed
weights the quiet clips and the log terms would drown the rest. Does not know: which losses there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def balanced(losses: Mapping[str, Tensor], weights: Mapping[str, float], y: Tensor) -> Tensor:
    """The gradient to send back from ``y``.

    Args:
        losses: one ``[B]`` each, functions of ``y``.
        weights: the length that each one's gradient is given; a loss of weight 0 is not differentiated.
        y: ``[B, T]``, a leaf.

    Returns:
        ``[B, T]``: the weighted sum of unit gradients over the batch size.
    """
    active = [name for name in losses if weights.get(name, 0.0)]
    total = torch.zeros_like(y)
    for name in active:
        (gradient,) = torch.autograd.grad(losses[name].sum(), y, retain_graph=name != active[-1])
        norm = gradient.flatten(1).norm(dim=1, keepdim=True)
        total += gradient * (weights[name] / norm.clamp(min=1e-12))
    return total / y.shape[0]
