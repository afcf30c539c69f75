"""Snake and causal zero padding as two Triton kernels, for CUDA.

Knows: the formula, its gradients, and how they are divided among programs. Does not know: when they are used
(snake.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _CHANNELS = 32, 64  #: of a tile
_TILES = 8  #: tiles of a program of the backward pass, which sums over their rows


@triton.jit  # type: ignore[untyped-decorator]
def _forward(x, alpha, y, rows, time, left, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    clip = row // (time + left)
    at = row - clip * (time + left) - left
    inside = channel[None, :] < channels
    there = inside & (row[:, None] < rows) & (at[:, None] >= 0)
    v = tl.load(x + (clip * time + at)[:, None] * channels + channel[None, :], mask=there, other=0.0).to(tl.float32)
    a = tl.load(alpha + channel, mask=channel < channels, other=1.0)[None, :]
    s = tl.sin(v * a)
    out = v + s * s / (a + 1e-9)
    out = tl.where(there, out, 0.0)
    tl.store(y + row[:, None] * channels + channel[None, :], out, mask=inside & (row[:, None] < rows))


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    x, alpha, g, gx, galpha, rows, time, left, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr, TILES: tl.constexpr
):
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channel[None, :] < channels
    a = tl.load(alpha + channel, mask=channel < channels, other=1.0)[None, :]
    scale = 1.0 / (a + 1e-9)
    total = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    for tile in range(TILES):
        row = (tl.program_id(0).to(tl.int64) * TILES + tile) * ROWS + tl.arange(0, ROWS)
        clip = row // time
        there = inside & (row[:, None] < rows)
        place = row[:, None] * channels + channel[None, :]
        v = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
        from_here = (row + (clip + 1) * left)[:, None] * channels + channel[None, :]
        d = tl.load(g + from_here, mask=there, other=0.0).to(tl.float32)
        s, c = tl.sin(v * a), tl.cos(v * a)
        tl.store(gx + place, d * (1.0 + 2.0 * s * c * a * scale), mask=there)
        total += d * (2.0 * v * s * c - s * s * scale) * scale
    tl.store(galpha + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


class Fused(torch.autograd.Function):
    """x ``[B, T, C]``, contiguous; alpha ``[1, C, 1]`` → ``[B, left + T, C]``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, left: int) -> Tensor:
        clips, time, channels = x.shape
        flat = alpha.detach().reshape(-1).float().contiguous()
        y = x.new_empty(clips, left + time, channels)
        rows = clips * (left + time)
        grid = (triton.cdiv(rows, _ROWS), triton.cdiv(channels, _CHANNELS))
        _forward[grid](x, flat, y, rows, time, left, channels, ROWS=_ROWS, CHANNELS=_CHANNELS)
        ctx.save_for_backward(x, flat)
        ctx.left, ctx.shape = left, alpha.shape
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        x, alpha = ctx.saved_tensors
        clips, time, channels = x.shape
        g = grads[0].contiguous()
        gx, rows = torch.empty_like(x), clips * time
        grid = (triton.cdiv(rows, _ROWS * _TILES), triton.cdiv(channels, _CHANNELS))
        parts = alpha.new_empty(grid[0], channels)
        _backward[grid](x, alpha, g, gx, parts, rows, time, ctx.left, channels, ROWS=_ROWS, CHANNELS=_CHANNELS,
                        TILES=_TILES)  # fmt: skip
        return gx, parts.sum(0).view(ctx.shape), None
