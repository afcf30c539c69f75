"""What follows a convolution of a discriminator, as two Triton kernels for CUDA: bias, leaky ReLU, feature matching.

torch needs a kernel for each of them, and one more for each gradient and each sum. All of that is memory traffic.

Knows: the formulas and their gradients, for memory with the channels last. Does not know: convolutions
(discriminator_layers.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 4096  #: numbers of a tile, at most 64 channels wide
_WIDEST = 64
_TILES = 4  #: tiles of a program of the backward pass, which sums over their positions


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    z, bias, wanted, y, apart, positions, channels, tiles, slope, COMPARE: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    clip = tl.program_id(0) // tiles
    row = (tl.program_id(0) % tiles) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    there = (row < positions)[:, None] & (channel < channels)[None, :]
    place = (clip.to(tl.int64) * positions + row)[:, None] * channels + channel[None, :]
    b = tl.load(bias + channel, mask=channel < channels, other=0.0).to(tl.float32)
    v = tl.load(z + place, mask=there, other=0.0).to(tl.float32) + b[None, :]
    out = tl.where(v > 0, v, v * slope).to(y.dtype.element_ty)
    tl.store(y + place, out, mask=there)
    if COMPARE:
        w = tl.load(wanted + place, mask=there, other=0.0).to(tl.float32)
        distance = tl.where(there, tl.abs(out.to(tl.float32) - w), 0.0)
        number = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
        tl.store(apart + number, tl.sum(tl.sum(distance, 1), 0))


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    y, wanted, g, g_distance, to_z, to_bias, positions, channels, groups, step, scale, slope, HAS_G: tl.constexpr,
    HAS_DISTANCE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    clip = tl.program_id(0) // groups
    first = (tl.program_id(0) % groups) * (TILES * ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
    for tile in range(TILES):
        row = first + tile * ROWS + tl.arange(0, ROWS)
        there = (row < positions)[:, None] & (channel < channels)[None, :]
        place = (clip.to(tl.int64) * positions + row)[:, None] * channels + channel[None, :]
        out = tl.load(y + place, mask=there, other=0.0).to(tl.float32)
        d = tl.zeros((ROWS, CHANNELS), dtype=tl.float32)
        if HAS_G:
            d += tl.load(g + place, mask=there, other=0.0).to(tl.float32)
        if HAS_DISTANCE:
            w = tl.load(wanted + place, mask=there, other=0.0).to(tl.float32)
            each = tl.load(g_distance + clip * step) * scale
            d += tl.where(out > w, each, tl.where(out < w, -each, 0.0))
        d = tl.where(out > 0, d, d * slope)
        tl.store(to_z + place, d.to(to_z.dtype.element_ty), mask=there)
        total += d
    tl.store(to_bias + tl.program_id(0) * channels + channel, tl.sum(total, 0), mask=channel < channels)


class Activation(torch.autograd.Function):
    """Leaky ReLU of z + bias, and how far it is from ``wanted``.

    Args:
        z: ``[B, C, H, W]``, with the channels last.
        bias: ``[parts, C]``, a bias ``[C]`` that is expanded to as many `parts` as its gradient is summed in. torch
            adds them up where that gradient is asked for, which a step does in one of three backward passes.
        wanted: as z; None: nothing is compared.
        slope: of the leaky ReLU.

    Returns:
        y, as z, and the mean of |y − wanted| for each clip, float32 ``[B]`` (``[0]`` without ``wanted``).
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, bias: Tensor, wanted: Tensor | None, slope: float) -> tuple[Tensor, Tensor]:
        z = _last(z)
        y = torch.empty_like(z)
        clips, channels, positions = z.shape[0], z.shape[1], z.shape[2] * z.shape[3]
        rows, wide = _tile(channels)
        tiles, blocks = triton.cdiv(positions, rows), triton.cdiv(channels, wide)
        compared = wanted is not None
        apart = z.new_empty(clips, tiles * blocks if compared else 0, dtype=torch.float32)
        other = _last(wanted) if wanted is not None else z
        _forward[(clips * tiles, blocks)](z, bias[0], other, y, apart, positions, channels, tiles, slope,
                                          COMPARE=compared, ROWS=rows, CHANNELS=wide)  # fmt: skip
        ctx.save_for_backward(y, other if compared else y)
        ctx.slope, ctx.compared = slope, compared
        ctx.set_materialize_grads(False)
        return y, apart.sum(1) / (channels * positions) if compared else apart.new_empty(0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        y, wanted = ctx.saved_tensors
        g, g_distance = grads[0], grads[1] if ctx.compared else None
        if g is None and g_distance is None:
            return None, None, None, None
        clips, channels, positions = y.shape[0], y.shape[1], y.shape[2] * y.shape[3]
        rows, wide = _tile(channels)
        count = parts(y)
        to_z, to_bias = torch.empty_like(y), y.new_empty(count, channels, dtype=torch.float32)
        from_y = y if g is None else _last(g)  # a pointer that is not read where there is none
        from_distance, step = (to_bias, 0) if g_distance is None else (g_distance, g_distance.stride(0))
        _backward[(count, triton.cdiv(channels, wide))](
            y, wanted, from_y, from_distance, to_z, to_bias, positions, channels, count // clips, step,
            1 / (channels * positions), ctx.slope, HAS_G=g is not None, HAS_DISTANCE=g_distance is not None, ROWS=rows,
            CHANNELS=wide, TILES=_TILES,
        )  # fmt: skip
        return to_z, to_bias, None, None


def parts(z: Tensor) -> int:
    """In how many parts the gradient of the bias of z ``[B, C, H, W]`` is summed."""
    rows, _ = _tile(z.shape[1])
    return z.shape[0] * int(triton.cdiv(z.shape[2] * z.shape[3], rows * _TILES))


def _tile(channels: int) -> tuple[int, int]:
    wide = min(_WIDEST, int(triton.next_power_of_2(channels)))
    return _TILE // wide, wide


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
