"""Snake and causal zero padding, in one pass over memory in each direction.

Knows: how snake.cpp is compiled, once for each machine, into the user's cache folder; whether the kernels of
device/snake_kernels.py can be used on a GPU; and how to compute the same without either. Does not know: layers.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .device.gpu import tried

_SOURCE = Path(__file__).with_name("snake.cpp")
_FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math", "-std=c++17",
          "-fopenmp", "-fPIC", "-shared"]  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels. None without g++, on other processors than x86-64, or if STREAMRVQ_NO_COMPILER is set."""
    compiler = shutil.which("g++")
    if compiler is None or platform.machine() != "x86_64" or os.environ.get("STREAMRVQ_NO_COMPILER"):
        return None
    text = _SOURCE.read_bytes()
    key = hashlib.sha256(text + " ".join(_FLAGS).encode() + _processor().encode()).hexdigest()[:16]
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamrvq"
        target = cache / f"snake-{key}.so"
        if not target.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                part = Path(folder) / "snake.so"
                subprocess.run([compiler, *_FLAGS, str(_SOURCE), "-o", str(part)], check=True, capture_output=True)
                part.replace(target)
        return ctypes.CDLL(str(target))
    except (OSError, subprocess.CalledProcessError, RuntimeError):  # RuntimeError: the user has no home
        return None


def _processor() -> str:
    """A text that identifies the processor, on which -march=native depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), "")


@tried
def on_gpu() -> Any:
    """The kernels for CUDA, a `torch.autograd.Function`; None where they cannot be used, and why not.

    The first call compiles and tries them: Triton needs a C compiler, and nobody wants wrong numbers.
    """
    from .device.snake_kernels import Fused

    x = torch.linspace(-9, 9, 2 * 45 * 3, device="cuda").view(2, 45, 3)
    found = []
    for function in (Fused.apply, plain):
        leaf, alpha = x.clone().requires_grad_(), torch.full((1, 3, 1), 0.7, device="cuda").requires_grad_()
        y = function(leaf, alpha, 2)
        found.append([y.detach(), *torch.autograd.grad((y * y).sum(), [leaf, alpha])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    return Fused


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, left: int) -> Tensor:
        kernels = library()
        assert kernels is not None
        rows, time, channels = x.shape
        flat = alpha.detach().reshape(-1).float().contiguous()
        y = x.new_empty(rows, time + left, channels)
        run = kernels.snake_forward_bf16 if x.dtype == torch.bfloat16 else kernels.snake_forward_f32
        run(*_pointers(x, flat, y), *_sizes(rows, time, channels, left))
        ctx.save_for_backward(x, flat)
        ctx.left, ctx.shape = left, alpha.shape
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor, None]:
        kernels = library()
        assert kernels is not None
        x, alpha = ctx.saved_tensors
        rows, time, channels = x.shape
        g = grads[0].contiguous()
        gx, galpha = torch.empty_like(x), torch.empty_like(alpha)
        run = kernels.snake_backward_bf16 if x.dtype == torch.bfloat16 else kernels.snake_backward_f32
        run(*_pointers(x, alpha, g, gx, galpha), *_sizes(rows, time, channels, ctx.left))
        return gx, galpha.view(ctx.shape), None


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(*values: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(value) for value in values]


def snake(x: Tensor, alpha: Tensor, left: int = 0) -> Tensor:
    """``left`` rows of zeros, followed by Snake of ``x``.

    Args:
        x: ``[B, T, C]``, contiguous.
        alpha: ``[1, C, 1]``.
        left: rows to put in front.
    """
    if x.is_cuda and x.dtype in (torch.float32, torch.bfloat16) and on_gpu()[0] is not None:
        y: Tensor = on_gpu()[0].apply(x.contiguous(), alpha, left)
        return y
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and library() is not None:
        return _apply(x.contiguous(), alpha, left)
    return plain(x, alpha, left)


def plain(x: Tensor, alpha: Tensor, left: int) -> Tensor:
    """`snake` in torch's own operations."""
    flat, wide = alpha.reshape(-1).float(), x.float()  # an angle in bfloat16 would be wrong by a tenth
    y = (wide + torch.sin(wide * flat).square() * (flat + 1e-9).reciprocal()).to(x.dtype)
    return F.pad(y, (0, 0, left, 0)) if left else y


def _apply(x: Tensor, alpha: Tensor, left: int) -> Tensor:
    y: Tensor = _Fused.apply(x, alpha, left)  # type: ignore[no-untyped-call]
    return y
