"""Causal convolutions of rows ``[B, T, C]`` on a GPU, with their gradients as plain matrix products.

cuDNN's own gradients of dilated convolutions are up to twenty times slower than its forward pass. With P rows of zeros
after each clip of the output's gradient, the input's gradient is a forward convolution too. The gradient of a tap is
one product of two matrices, whose rows are those of all clips, P and more apart.

Two taps are one product with a matrix, for which rows are laid beside each other. For some numbers of channels cuDNN
takes a kernel for grouped convolutions there, and two calls of it took 62 of a step's 76 ms on an H200.

Knows: the arithmetic in torch, and the order of the kernels of snake_kernels.py. Does not know: modules of a codec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .gpu import tried

_TILE = 128  #: of a product of matrices; only an estimate
_TILES = 96  #: wanted in each product, so that most of a GPU computes


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """A convolution without padding.

    Args:
        x: ``[B, (K − 1)·dilation + T, C]``, contiguous.
        weight: ``[Cout, K, C]``, contiguous, of the type of x.
        bias: ``[Cout]``, of the type of x.

    Returns:
        ``[B, T, Cout]``, contiguous.
    """
    taps = weight.shape[1]
    if taps == 1:
        return F.linear(x, weight[:, 0], bias)
    if taps == 2:  # one sum over both, rounded once
        return F.linear(torch.cat([x[:, :-dilation], x[:, dilation:]], 2), weight.flatten(1), bias)
    # [B, C, 1, T] and [Cout, C, 1, K] in "channels last", without copies
    image, kernel = x.transpose(1, 2).unsqueeze(2), weight.transpose(1, 2).unsqueeze(2)
    return torch.conv2d(image, kernel, bias, 1, 0, (1, dilation)).squeeze(2).transpose(1, 2).contiguous()


def input_gradient(g: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """The gradient of the last T rows of the input of `convolved`.

    Args:
        g: the output's gradient, with zeros after each clip: ``[B, T + (K − 1)·dilation, Cout]``, contiguous.
        weight: that of `convolved`.

    Returns:
        ``[B, T, C]``, contiguous.
    """
    if weight.shape[1] == 1:
        return g @ weight[:, 0]
    return convolved(g, weight.flip(1).permute(2, 1, 0).contiguous(), None, dilation)


def weight_gradient(x: Tensor, g: Tensor, taps: int, dilation: int) -> Tensor:
    """The gradient of the weight of `convolved`.

    Groups of clips are summed side by side. A group's rows are one matrix: the zeros in g remove what crosses clips.

    Args:
        x: the input of `convolved`.
        g: as in `input_gradient`.

    Returns:
        ``[Cout, K, C]``: float32, or float64 of float64.
    """
    clips, rows, channels = x.shape
    wide = g.shape[2]
    groups = _groups(clips, channels, wide)
    whole = clips // groups * rows
    used = whole - (taps - 1) * dilation  # the last rows of g are zeros
    left = g.as_strided((groups, wide, used), (whole * wide, 1, wide))
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    parts = x.new_empty(taps, groups, wide, channels, dtype=kind)
    for tap in range(taps):
        start = x.storage_offset() + tap * dilation * channels
        right = x.as_strided((groups, used, channels), (whole * channels, channels, 1), start)
        _multiply(left, right, parts[tap])
    return parts.sum(1).transpose(0, 1) if groups > 1 else parts[:, 0].transpose(0, 1)


def _groups(clips: int, channels: int, wide: int) -> int:
    """How many groups of clips give enough tiles in each product: a divisor of ``clips``."""
    tiles = -(-channels // _TILE) * -(-wide // _TILE)
    return max(n for n in range(1, clips + 1) if clips % n == 0 and (n == 1 or n * tiles <= _TILES))


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out = a @ b``, batched; each sum is made in the type of ``out``."""
    if a.dtype == out.dtype:
        torch.bmm(a, b, out=out)
    elif a.is_cuda:
        torch.bmm(a, b, out_dtype=out.dtype, out=out)
    else:
        torch.bmm(a.to(out.dtype), b.to(out.dtype), out=out)


class Causal(torch.autograd.Function):
    """Snake, zeros in front, a convolution of rows, and its bias.

    Args:
        x: ``[B, T, C]``, contiguous, bfloat16 or float32.
        alpha: of Snake, ``[1, C, 1]``; None: no Snake.
        weight: ``[Cout, K, stride·C]``, float32. What is convolved are ``stride`` rows as one.
        bias: ``[Cout]``, float32.
        dilation: in rows of ``stride·C``.
        stride: a divisor of T.
        kernels: `snake_kernels`.

    Returns:
        ``[B, T/stride, Cout]``.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, alpha: Tensor | None, weight: Tensor, bias: Tensor, dilation: int, stride: int,
        kernels: Any,
    ) -> Tensor:  # fmt: skip
        clips, taps = x.shape[0], weight.shape[1]
        left = (taps - 1) * dilation
        flat = None if alpha is None else alpha.detach().reshape(-1).float().contiguous()
        if flat is not None:
            h = kernels.forward(x, flat, None, left * stride)
        else:
            h = F.pad(x, (0, 0, left * stride, 0)) if left else x
        h = h.view(clips, -1, weight.shape[2])
        near = _cast(weight, x.dtype)
        ctx.save_for_backward(x if flat is not None else None, flat, h, near)
        ctx.dilation, ctx.left, ctx.kernels = dilation, left, kernels
        ctx.shapes = x.shape, None if alpha is None else alpha.shape
        return convolved(h, near, bias.to(x.dtype), dilation)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, alpha, h, weight = ctx.saved_tensors
        shape, alpha_shape = ctx.shapes
        g, to_bias = ctx.kernels.padded(grads[0].contiguous(), ctx.left)
        to_x = to_alpha = None
        if ctx.needs_input_grad[0] or alpha is not None:
            to_x = input_gradient(g, weight, ctx.dilation).view(shape)
            if alpha is not None:
                to_x, to_alpha, _ = ctx.kernels.backward(x, alpha, None, to_x, None, 0)
                to_alpha = to_alpha.view(alpha_shape)
        return (
            to_x, to_alpha, weight_gradient(h, g, weight.shape[1], ctx.dilation), to_bias, None, None, None,
        )  # fmt: skip


class Unit(torch.autograd.Function):
    """A residual unit: x + narrow(Snake(wide(Snake(x)))), with the bias of the wide convolution added in its Snake.

    Args:
        x: ``[B, T, C]``, contiguous, bfloat16 or float32.
        first, second: the alphas, ``[1, C, 1]``.
        wide: ``[C, K, C]``, float32; its convolution is causal.
        wide_bias, narrow_bias: ``[C]``, float32.
        narrow: ``[C, 1, C]``, float32.
        dilation: of the wide one.
        kernels: `snake_kernels`.

    Returns:
        As x.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, first: Tensor, wide: Tensor, wide_bias: Tensor, second: Tensor, narrow: Tensor,
        narrow_bias: Tensor, dilation: int, kernels: Any,
    ) -> Tensor:  # fmt: skip
        a, b = (alpha.detach().reshape(-1).float().contiguous() for alpha in (first, second))
        near, near_narrow, bias = _cast(wide, x.dtype), _cast(narrow, x.dtype), wide_bias.detach().float().contiguous()
        ctx.left = (wide.shape[1] - 1) * dilation
        h = kernels.forward(x, a, None, ctx.left)
        y = convolved(h, near, None, dilation)
        k = kernels.forward(y, b, bias, 0)
        ctx.save_for_backward(x, a, h, near, y, b, bias, k, near_narrow)
        ctx.dilation, ctx.kernels, ctx.shapes = dilation, kernels, (first.shape, second.shape)
        return convolved(k, near_narrow, narrow_bias.to(x.dtype), 1).add_(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        x, a, h, wide, y, b, bias, k, narrow = ctx.saved_tensors
        kernels = ctx.kernels
        g, to_narrow_bias = kernels.padded(grads[0].contiguous(), 0)
        to_narrow = weight_gradient(k, g, 1, 1)
        from_narrow, to_second, to_wide_bias = kernels.backward(
            y, b, bias, input_gradient(g, narrow, 1), None, ctx.left
        )
        to_wide = weight_gradient(h, from_narrow, wide.shape[1], ctx.dilation)
        from_wide = input_gradient(from_narrow, wide, ctx.dilation)
        to_x, to_first, _ = kernels.backward(x, a, None, from_wide, g, 0)
        return (
            to_x, to_first.view(ctx.shapes[0]), to_wide, to_wide_bias, to_second.view(ctx.shapes[1]), to_narrow,
            to_narrow_bias, None, None,
        )  # fmt: skip


def _cast(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.detach().to(dtype, memory_format=torch.contiguous_format).contiguous()


def compared(kernels: Any, device: str, dtype: torch.dtype) -> list[tuple[str, Tensor, Tensor]]:
    """What this module gives and what torch gives in float32, by name, with all gradients."""
    generator = torch.Generator().manual_seed(0)

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    def leaves(*values: Tensor) -> list[Tensor]:
        return [value.clone().requires_grad_() for value in values]

    x, alphas = made(6, 20, 24), made(2, 1, 24, 1).abs() + 0.2
    wide, narrow, biases = made(24, 7, 24) / 13, made(24, 1, 24) / 5, made(3, 24)
    down, g = made(24, 2, 48) / 10, made(6, 20, 24)
    found: list[tuple[str, Tensor, Tensor]] = []
    function: Callable[..., Any]
    arguments: list[Any]
    for name in ("unit", "strided", "bare"):
        results = []
        for ours in (True, False):
            start = x.to(dtype).to(dtype if ours else torch.float32)
            if name == "unit":
                given = leaves(start, alphas[0], wide, biases[0], alphas[1], narrow, biases[1])
                function, arguments = (Unit.apply, [*given, 3, kernels]) if ours else (plain_unit, [*given, 3])
            else:
                given = leaves(start, down, biases[2], *(alphas[:1] if name == "strided" else []))
                alpha = given[3] if name == "strided" else None
                arguments = [given[0], alpha, *given[1:3], 1, 2, *([kernels] if ours else [])]
                function = Causal.apply if ours else plain_causal
            y: Tensor = function(*arguments)
            grads = torch.autograd.grad(y, given, g[:, : y.shape[1]].to(dtype).to(y.dtype))
            results.append([y.detach().float(), *(grad.float() for grad in grads)])
        found += [(f"{name} {i}", *pair) for i, pair in enumerate(zip(*results, strict=True))]
    return found


def plain_causal(
    x: Tensor, alpha: Tensor | None, weight: Tensor, bias: Tensor, dilation: int, stride: int
) -> Tensor:  # fmt: skip
    """`Causal` in torch's own operations."""
    h = x if alpha is None else _plain_snake(x, alpha)
    h = h.reshape(x.shape[0], -1, weight.shape[2]).transpose(1, 2)
    h = F.pad(h, ((weight.shape[1] - 1) * dilation, 0))
    return F.conv1d(h, weight.transpose(1, 2), bias, dilation=dilation).transpose(1, 2)


def plain_unit(
    x: Tensor, first: Tensor, wide: Tensor, wide_bias: Tensor, second: Tensor, narrow: Tensor, narrow_bias: Tensor,
    dilation: int,
) -> Tensor:  # fmt: skip
    """`Unit` in torch's own operations."""
    return x + plain_causal(plain_causal(x, first, wide, wide_bias, dilation, 1), second, narrow, narrow_bias, 1, 1)


def _plain_snake(x: Tensor, alpha: Tensor) -> Tensor:
    flat = alpha.reshape(-1)
    return x + torch.sin(x * flat).square() / (flat + 1e-9)


def usable(x: Tensor) -> Any:
    """The kernels for x; None: torch's own operations are to be used."""
    return on_gpu()[0] if x.is_cuda and x.dtype in (torch.float32, torch.bfloat16) else None


@tried
def on_gpu() -> Any:
    """The kernels for CUDA, tried by the first call with all that this module does; None: not usable, and why not."""
    from . import snake_kernels

    for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 3e-2)):
        for name, ours, theirs in compared(snake_kernels, "cuda", dtype):
            error = float((ours - theirs).norm() / theirs.norm())
            if not error < tolerance:
                raise ArithmeticError(f"{name} in {dtype} is off by {error:.1e}; wanted {tolerance:.0e}")
    return snake_kernels
