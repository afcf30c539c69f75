"""Snake between two convolutions, as Triton kernels for CUDA: with padding, biases, residual sums and sums of rows.

Knows: the formulas, their gradients, and how they are divided among programs. Does not know: when they are used
(snake.py, convolution.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _CHANNELS = 32, 64  #: of a tile
_TILES = 4  #: tiles of a program of the backward pass, which sums over their rows
_SIZES = ("rows", "time", "left", "right")  #: differ from layer to layer; compiling for each takes seconds


@triton.jit
def _reduced(angle):  # type: ignore[no-untyped-def]
    """angle less a multiple of π, in ±π/2. Snake's terms have the period π. π is in three parts (as in Cephes)."""
    turns = tl.floor(angle * 0.3183098861837907 + 0.5)
    return ((angle - turns * 3.140625) - turns * 9.67502593994140625e-4) - turns * 1.509957990978376432e-7


@triton.jit
def _sine(r):  # type: ignore[no-untyped-def]
    """Taylor's series: within 6e-8 in ±π/2."""
    q = r * r
    p = 1 / 362880 - q * (1 / 39916800)
    p = 1 / 120 - q * (1 / 5040 - q * p)
    return r - r * q * (1 / 6 - q * p)


@triton.jit
def _cosine(r):  # type: ignore[no-untyped-def]
    """Taylor's series: within 7e-9 in ±π/2."""
    q = r * r
    p = 1 / 40320 - q * (1 / 3628800 - q * (1 / 479001600))
    return 1.0 - q * (0.5 - q * (1 / 24 - q * (1 / 720 - q * p)))


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    x, bias, alpha, y, rows, time, left, channels, HAS_BIAS: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    clip = row // (time + left)
    at = row - clip * (time + left) - left
    inside = channel[None, :] < channels
    there = inside & (row[:, None] < rows) & (at[:, None] >= 0)
    place = (clip * time + at).to(tl.int64)[:, None] * channels + channel[None, :]
    v = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    if HAS_BIAS:
        v += tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    a = tl.load(alpha + channel, mask=channel < channels, other=1.0)[None, :]
    s = _sine(_reduced(v * a))
    out = tl.where(there, v + s * s * (1.0 / (a + 1e-9)), 0.0).to(y.dtype.element_ty)
    tl.store(y + row.to(tl.int64)[:, None] * channels + channel[None, :], out, mask=inside & (row[:, None] < rows))


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    x, bias, alpha, g, more, gx, sums, rows, time, left, right, channels, HAS_BIAS: tl.constexpr,
    HAS_MORE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel[None, :] < channels
    a = tl.load(alpha + channel, mask=channel < channels, other=1.0)[None, :]
    scale = 1.0 / (a + 1e-9)
    to_alpha = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    to_bias = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    if HAS_BIAS:
        b = tl.load(bias + channel, mask=channel < channels, other=0.0)[None, :]
    for tile in range(TILES):
        row = (tl.program_id(0) * TILES + tile) * ROWS + tl.arange(0, ROWS)
        clip = row // (time + right)
        at = row - clip * (time + right)
        mine = inside & (row[:, None] < rows)
        there = mine & (at[:, None] < time)
        source = (clip * time + at).to(tl.int64)
        v = tl.load(x + source[:, None] * channels + channel[None, :], mask=there, other=0.0).to(tl.float32)
        from_here = (source + (clip + 1) * left)[:, None] * channels + channel[None, :]
        d = tl.load(g + from_here, mask=there, other=0.0).to(tl.float32)
        if HAS_BIAS:
            v += b
        r = _reduced(v * a)
        s, c = _sine(r), _cosine(r)
        slope = d * (1.0 + 2.0 * s * c * a * scale)
        to_alpha += d * (2.0 * v * s * c - s * s * scale) * scale
        to_bias += slope
        if HAS_MORE:
            slope += tl.load(more + source[:, None] * channels + channel[None, :], mask=there, other=0.0).to(tl.float32)
        slope = tl.where(there, slope, 0.0).to(gx.dtype.element_ty)
        tl.store(gx + row.to(tl.int64)[:, None] * channels + channel[None, :], slope, mask=mine)
    part = sums + tl.program_id(0) * 2 * channels + channel
    tl.store(part, tl.sum(to_alpha, 0), mask=channel < channels)
    tl.store(part + channels, tl.sum(to_bias, 0), mask=channel < channels)


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _padded(  # type: ignore[no-untyped-def]
    g, y, sums, rows, time, right, channels, WRITE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
    TILES: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel[None, :] < channels
    total = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    for tile in range(TILES):
        row = (tl.program_id(0) * TILES + tile) * ROWS + tl.arange(0, ROWS)
        clip = row // (time + right)
        at = row - clip * (time + right)
        mine = inside & (row[:, None] < rows)
        source = (clip * time + at).to(tl.int64)[:, None] * channels + channel[None, :]
        d = tl.load(g + source, mask=mine & (at[:, None] < time), other=0.0)
        total += d.to(tl.float32)
        if WRITE:
            tl.store(y + row.to(tl.int64)[:, None] * channels + channel[None, :], d, mask=mine)
    tl.store(sums + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


def forward(x: Tensor, alpha: Tensor, bias: Tensor | None, left: int) -> Tensor:
    """``left`` rows of zeros, followed by Snake of x + bias.

    Args:
        x: ``[B, T, C]``, contiguous, fewer than 2³¹ rows.
        alpha, bias: float32 ``[C]``, contiguous.

    Returns:
        ``[B, left + T, C]``, of the type of x.
    """
    clips, time, channels = x.shape
    y, rows = x.new_empty(clips, left + time, channels), clips * (left + time)
    grid = (triton.cdiv(rows, _ROWS), triton.cdiv(channels, _CHANNELS))
    _forward[grid](x, alpha if bias is None else bias, alpha, y, rows, time, left, channels, HAS_BIAS=bias is not None,
                   ROWS=_ROWS, CHANNELS=_CHANNELS)  # fmt: skip
    return y


def backward(
    x: Tensor, alpha: Tensor, bias: Tensor | None, g: Tensor, more: Tensor | None, right: int, left: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `forward`.

    Args:
        x, alpha, bias, left: as there.
        g: ``[B, left + T, C]``, contiguous, of the type of x.
        more: is added to the gradient of x: as x; None: nothing.
        right: rows of zeros after each clip of the gradient of x.

    Returns:
        The gradient of x ``[B, T + right, C]``, and float32 ``[C]`` each: those of alpha and of the bias.
    """
    clips, time, channels = x.shape
    gx, rows = x.new_empty(clips, time + right, channels), clips * (time + right)
    grid = (triton.cdiv(rows, _ROWS * _TILES), triton.cdiv(channels, _CHANNELS))
    sums = alpha.new_empty(grid[0], 2, channels)
    _backward[grid](x, alpha if bias is None else bias, alpha, g, x if more is None else more, gx, sums, rows, time,
                    left, right, channels, HAS_BIAS=bias is not None, HAS_MORE=more is not None, ROWS=_ROWS,
                    CHANNELS=_CHANNELS, TILES=_TILES)  # fmt: skip
    to_alpha, to_bias = sums.sum(0)
    return gx, to_alpha, to_bias


def padded(g: Tensor, right: int) -> tuple[Tensor, Tensor]:
    """g ``[B, T, C]``, contiguous, with ``right`` rows of zeros after each clip; and its sum, float32 ``[C]``.

    Without such rows it is g itself.
    """
    clips, time, channels = g.shape
    y, rows = g.new_empty(clips, time + right, channels) if right else g, clips * (time + right)
    grid = (triton.cdiv(rows, _ROWS * _TILES), triton.cdiv(channels, _CHANNELS))
    sums = g.new_empty(grid[0], channels, dtype=torch.float32)
    _padded[grid](g, y, sums, rows, time, right, channels, WRITE=right > 0, ROWS=_ROWS, CHANNELS=_CHANNELS,
                  TILES=_TILES)  # fmt: skip
    return y, sums.sum(0)


class Fused(torch.autograd.Function):
    """x ``[B, T, C]``, contiguous; alpha ``[1, C, 1]`` → ``[B, left + T, C]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, left: int) -> Tensor:
        flat = alpha.detach().reshape(-1).float().contiguous()
        ctx.save_for_backward(x, flat)
        ctx.left, ctx.shape = left, alpha.shape
        return forward(x, flat, None, left)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        gx, to_alpha, _ = backward(x, alpha, None, grads[0].contiguous(), None, 0, ctx.left)
        return gx, to_alpha.view(ctx.shape), None
