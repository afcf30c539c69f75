"""Snake, weight-normalised convolutions with explicit padding, and the residual unit.

How much a layer pads is read from a `geometry.Layer`, so the offline network and the streams cannot disagree about it.

Knows: one layer's arithmetic on a whole signal ``[B, C, T]``. Does not know: which layers make a codec.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry import Layer
from ..weights.fold import fold_pair, pair_names


class Snake1d(nn.Module):
    """``x + sin²(αx) / (α + 1e-9)``, a learnt ``α`` for each channel (Ziyin et al. 2020; DAC guards against α = 0).

    Shape: ``[B, channels, T]`` → the same. The state dict holds ``alpha [1, channels, 1]``, ones at first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * x).pow(2)


class _Conv(nn.Module):
    """What both convolutions share: the parameters, their first values, and loading any style of weight norm.

    With ``weight_norm`` the parameters have DAC's own keys: ``weight_g``, ``weight_v`` (w = g·v/‖v‖, with the norm over
    all dimensions except the first) and ``bias``. Without it they are ``weight`` and ``bias``: exactly the folded
    network.
    """

    weight: Tensor
    weight_g: Tensor
    weight_v: Tensor

    def __init__(self, shape: tuple[int, int, int], channels: int, weight_norm: bool) -> None:
        super().__init__()
        v = torch.empty(shape)
        nn.init.kaiming_uniform_(v, a=math.sqrt(5))  # torch's own first values, which DAC's weight norm keeps
        bound = 1 / math.sqrt(shape[1] * shape[2])
        self.weight_norm = weight_norm
        if weight_norm:
            self.weight_g = nn.Parameter(torch.norm_except_dim(v, 2, 0))
            self.weight_v = nn.Parameter(v)
        else:
            self.weight = nn.Parameter(v)
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self.register_load_state_dict_pre_hook(_restyle)  # type: ignore[no-untyped-call]

    def folded(self) -> Tensor:
        """The weight of the convolution, with weight norm applied."""
        if not self.weight_norm:
            return self.weight
        return self.weight_v * (self.weight_g / torch.norm_except_dim(self.weight_v, 2, 0))

    @torch.no_grad()
    def set(self, weight: Tensor, bias: Tensor | float = 0.0) -> None:
        """Set the parameters so that `folded` gives ``weight``."""
        if self.weight_norm:
            self.weight_v.copy_(weight)
            self.weight_g.copy_(torch.norm_except_dim(weight, 2, 0))
        else:
            self.weight.copy_(weight)
        self.bias.copy_(torch.as_tensor(bias))


def _restyle(module: _Conv, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], *_: Any) -> None:
    """Rewrite this layer's keys in ``state_dict`` to the module's style. A pre-hook of ``load_state_dict``."""
    plain = f"{prefix}weight"
    for g_name, v_name in pair_names(plain):
        if g_name in state_dict and v_name in state_dict:
            g, v = state_dict.pop(g_name), state_dict.pop(v_name)
            if module.weight_norm:
                state_dict[f"{prefix}weight_g"], state_dict[f"{prefix}weight_v"] = g, v
            else:
                w = fold_pair(plain, g.detach().double().cpu().numpy(), v.detach().double().cpu().numpy())
                state_dict[plain] = torch.from_numpy(w)
            return
    if module.weight_norm and plain in state_dict:
        w = state_dict.pop(plain)
        # ‖w‖ is rounded to the parameter's type, so g·v/‖v‖ may differ from w by a unit in the last place.
        g = torch.norm_except_dim(w.double(), 2, 0)
        if metadata.get("assign_to_params_buffers"):  # then it is not copied into a parameter of the right type
            g = g.to(w.dtype)
        state_dict[f"{prefix}weight_g"], state_dict[f"{prefix}weight_v"] = g, w


class WNConv1d(_Conv):
    """A convolution with ``layer.padding`` zeros on the left and ``layer.right`` zeros on the right.

    Shape: ``[B, cin, T]`` → ``[B, cout, layer.out_length(T)]``, which may be empty.
    """

    def __init__(self, layer: Layer, weight_norm: bool = True) -> None:
        super().__init__((layer.cout, layer.cin, layer.kernel), layer.cout, weight_norm)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.out_length(x.shape[-1]) == 0:  # torch refuses a signal that is shorter than the kernel
            return x.new_zeros(x.shape[0], layer.cout, 0)
        padding = layer.padding
        if padding != layer.right:
            x, padding = F.pad(x, (layer.padding, layer.right)), 0
        return F.conv1d(x, self.folded(), self.bias, layer.stride, padding, layer.dilation)


class WNConvTranspose1d(_Conv):
    """A transposed convolution that drops ``layer.padding`` outputs on the left and ``layer.right`` on the right.

    Shape: ``[B, cin, T]`` → ``[B, cout, layer.out_length(T)]``.
    """

    def __init__(self, layer: Layer, weight_norm: bool = True) -> None:
        super().__init__((layer.cin, layer.cout, layer.kernel), layer.cout, weight_norm)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        length = layer.out_length(x.shape[-1])
        if length == 0:
            return x.new_zeros(x.shape[0], layer.cout, 0)
        y = F.conv_transpose1d(x, self.folded(), self.bias, layer.stride)
        return y[..., layer.padding : layer.padding + length]


class ResidualUnit(nn.Module):
    """Snake, dilated conv 7, Snake, conv 1, added to the input. Shape: ``[B, C, T]`` → the same.

    Args:
        wide: its convolution of 7 taps, from the plan.
        narrow: its convolution of 1 tap.
        weight_norm: see `CodecModel`.
    """

    def __init__(self, wide: Layer, narrow: Layer, weight_norm: bool = True) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake1d(wide.cin), WNConv1d(wide, weight_norm), Snake1d(narrow.cin), WNConv1d(narrow, weight_norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y
