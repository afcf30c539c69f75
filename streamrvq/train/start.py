"""First values: every layer's gain set from data, so that signals neither fade nor grow on their way (the start that
Salimans & Kingma 2016 give with weight norm).

Knows: the modules of `nn`. Does not know: training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..nn import CodecModel, ResidualUnit, WNConv1d, WNConvTranspose1d

_BRANCH = 0.3  #: strength of a residual branch beside its skip


@torch.no_grad()
def level_gains(model: CodecModel, pcm: Tensor, output: float) -> None:
    """Scale the gain of each convolution of encoder and decoder so that what it gives for ``pcm [B, 1, T]`` has
    standard deviation 1, a residual branch 0.3, and the decoder's last, before its tanh, ``output``."""
    targets: dict[nn.Module, float] = {}
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            targets[module.block[-1]] = _BRANCH
    targets[model.decoder.model[-2]] = output

    def scale(module: nn.Module, _: Any, y: Tensor) -> Tensor:
        assert isinstance(module, (WNConv1d, WNConvTranspose1d))
        factor = targets.get(module, 1.0) / max(float(y.std()), 1e-9)
        module.weight_g.mul_(factor)
        module.bias.mul_(factor)
        return y * factor

    layers = [m for part in (model.encoder, model.decoder) for m in part.modules()
              if isinstance(m, (WNConv1d, WNConvTranspose1d))]  # fmt: skip
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    try:
        model.decoder(model.encoder(pcm))
    finally:
        for hook in hooks:
            hook.remove()
