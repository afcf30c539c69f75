"""How a GPU computes the layers of discriminators: the channels last, and one kernel after each convolution.

A weight is folded, rounded and laid out once for both signals; their gradients are added in float32.

Knows: the order in which layers come. Does not know: the discriminators' shapes, their losses (adversarial.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gpu import tried


class OnCard:
    """A `LayerFunction` for two passes: the first for the originals, then one for the reconstructions.

    Args:
        dtype: of the convolutions.
        kernels: `discriminator_kernels`.

    Attributes:
        feature: after the second pass: float32 ``[B]``, the sum over layers of the mean distance of both maps.
    """

    def __init__(self, dtype: torch.dtype, kernels: Any) -> None:
        self._dtype, self._kernels = dtype, kernels
        self._weights: dict[nn.Module, Tensor] = {}
        self._maps: dict[nn.Module, Tensor] = {}
        self._distances: list[Tensor] = []

    @property
    def feature(self) -> Tensor:
        return torch.stack(self._distances).sum(0)

    def __call__(self, conv: nn.Module, x: Tensor, slope: float | None) -> Tensor:
        """``conv(x)``, followed by a leaky ReLU of this slope; None: by nothing."""
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        x = x.to(self._dtype, memory_format=torch.channels_last)
        second = conv in self._weights
        weight = self._weight(conv)
        if slope is None:
            return F.conv2d(x, weight, conv.bias.to(self._dtype), conv.stride, conv.padding)
        z = F.conv2d(x, weight, None, conv.stride, conv.padding)
        bias = conv.bias.expand(self._kernels.parts(z), -1)
        y: Tensor
        y, distance = self._kernels.Activation.apply(z, bias, self._maps.pop(conv) if second else None, slope)
        if second:
            self._distances.append(distance)
        else:
            self._maps[conv] = y.detach()
        return y

    def _weight(self, conv: nn.Conv2d) -> Tensor:
        if conv in self._weights:
            return self._weights.pop(conv)
        first: Tensor
        first, self._weights[conv] = _Both.apply(conv.weight, self._dtype)  # type: ignore[no-untyped-call]
        return first


class _Both(torch.autograd.Function):
    """A weight in another type with the channels last, once for each of two uses."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        rounded = weight.to(dtype, memory_format=torch.channels_last, copy=True)
        return rounded, rounded.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None]:
        first, *others = (g.float() for g in grads if g is not None)
        return sum(others, start=first), None


def compared(kernels: Any, device: str, dtype: torch.dtype = torch.float32) -> list[tuple[Tensor, Tensor]]:
    """What the kernels give and what torch gives, in float32, with all gradients: for one layer and two signals."""
    generator = torch.Generator().manual_seed(0)
    real, fake, g = (torch.randn(3, 6, 37, 31, generator=generator).to(device, dtype) for _ in range(3))
    found = []
    for ours in (True, False):
        z = (fake if ours else fake.float()).clone().requires_grad_()
        bias = torch.linspace(-1, 1, 6).to(device).requires_grad_()
        if ours:
            last = z.contiguous(memory_format=torch.channels_last)
            y, distance = kernels.Activation.apply(last, bias.expand(kernels.parts(z), -1), real, 0.1)
        else:
            y = F.leaky_relu(z + bias[:, None, None], 0.1)
            distance = (y.to(dtype).float() - real.float()).abs().flatten(1).mean(1)
        results = [y.detach(), distance.detach()]
        for outputs, weights in (([y], [g]), ([distance], [None]), ([y, distance], [g, None])):
            ones = [torch.ones_like(o) if w is None else w.to(o.dtype) for o, w in zip(outputs, weights, strict=True)]
            results += torch.autograd.grad(outputs, [z, bias], ones, retain_graph=True)
        found.append([result.float() for result in results])
    return list(zip(*found, strict=True))


@tried
def on_gpu() -> Any:
    """The kernels for CUDA, tried by the first call; None where they cannot be used, and why not."""
    from . import discriminator_kernels

    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 1e-2)):
        for ours, theirs in compared(discriminator_kernels, "cuda", dtype):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=10 * tolerance)
    return discriminator_kernels
