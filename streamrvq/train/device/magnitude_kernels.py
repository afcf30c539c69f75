"""The magnitude of spectra as two Triton kernels, for CUDA: most of a step's memory traffic was its squares and sums.

Knows: the formula of `spectra.magnitude` and its gradients. Does not know: when they are used (spectra.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _BINS = 8, 256  #: of a tile


@triton.jit  # type: ignore[untyped-decorator]
def _forward(real, imaginary, y, rows, bins, row_step, bin_step, floor, ROWS: tl.constexpr, BINS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    bin = (tl.program_id(1) * BINS + tl.arange(0, BINS))[None, :]
    there = (row < rows) & (bin < bins)
    place = row * row_step + bin * bin_step
    a = tl.load(real + place, mask=there, other=0.0)
    b = tl.load(imaginary + place, mask=there, other=0.0)
    tl.store(y + row * bins + bin, tl.sqrt(a * a + b * b + floor * floor), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    real, imaginary, y, g, to_real, to_imaginary, rows, bins, row_step, bin_step, ROWS: tl.constexpr, BINS: tl.constexpr
):
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    bin = (tl.program_id(1) * BINS + tl.arange(0, BINS))[None, :]
    there = (row < rows) & (bin < bins)
    place, flat = row * row_step + bin * bin_step, row * bins + bin
    a = tl.load(real + place, mask=there, other=0.0)
    b = tl.load(imaginary + place, mask=there, other=0.0)
    scale = tl.load(g + flat, mask=there, other=0.0) / tl.load(y + flat, mask=there, other=1.0)
    tl.store(to_real + flat, a * scale, mask=there)
    tl.store(to_imaginary + flat, b * scale, mask=there)


class Magnitude(torch.autograd.Function):
    """Real and imaginary parts ``[B, frames, bins]``, float32, of equal strides → ``[B, frames, bins]``."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, imaginary: Tensor, floor: float) -> Tensor:
        rows, bins, row_step, bin_step = _steps(real, imaginary)
        y = real.new_empty(real.shape)
        grid = (triton.cdiv(rows, _ROWS), triton.cdiv(bins, _BINS))
        _forward[grid](real, imaginary, y, rows, bins, row_step, bin_step, floor, ROWS=_ROWS, BINS=_BINS)
        ctx.save_for_backward(real, imaginary, y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        real, imaginary, y = ctx.saved_tensors
        rows, bins, row_step, bin_step = _steps(real, imaginary)
        g, to_real, to_imaginary = grads[0].contiguous(), torch.empty_like(y), torch.empty_like(y)
        grid = (triton.cdiv(rows, _ROWS), triton.cdiv(bins, _BINS))
        _backward[grid](real, imaginary, y, g, to_real, to_imaginary, rows, bins, row_step, bin_step, ROWS=_ROWS,
                        BINS=_BINS)  # fmt: skip
        return to_real, to_imaginary, None


def fits(real: Tensor, imaginary: Tensor) -> bool:
    """Whether `Magnitude` takes them."""
    return (
        real.ndim == 3 and real.dtype == torch.float32 and real.stride() == imaginary.stride()
        and real.stride(0) == real.shape[1] * real.stride(1)
    )  # fmt: skip


def _steps(real: Tensor, imaginary: Tensor) -> tuple[int, int, int, int]:
    """Rows, bins, and how far apart rows and bins are in memory."""
    if not fits(real, imaginary):
        raise ValueError(f"strides are {real.stride()} and {imaginary.stride()}; wanted equal ones of whole rows")
    return real.shape[0] * real.shape[1], real.shape[2], real.stride(1), real.stride(2)
