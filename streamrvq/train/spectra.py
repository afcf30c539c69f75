"""Magnitude spectra and mel bands as differentiable functions of samples.

Short windows are transformed by a matrix product, which is faster there than an FFT.

Knows: windows, hops of a quarter window, and Slaney's mel bands as librosa makes them, like DAC's. Does not know:
losses.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)  #: DAC's windows; `MEL_BANDS` has the number of bands of each
MEL_BANDS = (5, 10, 20, 40, 80, 160, 320)
_MATRIX = 128  #: the longest window that is transformed by a matrix


class Spectrum(nn.Module):
    """A short-time Fourier transform with a periodic Hann window, hop window/4 and reflected ends.

    Shape: ``[B, T]`` → real and imaginary parts, each ``[B, frames, window/2 + 1]``.
    """

    matrix: Tensor
    hann: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window, self.hop, self.bins = window, window // 4, window // 2 + 1
        hann = torch.hann_window(window, dtype=torch.float64)
        if window <= _MATRIX:
            angle = torch.outer(torch.arange(window), torch.arange(self.bins)).double() * (-2 * math.pi / window)
            matrix = torch.cat([torch.cos(angle), torch.sin(angle)], 1) * hann[:, None]
            self.register_buffer("matrix", matrix.float(), persistent=False)
        self.register_buffer("hann", hann.float(), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half = self.window // 2
        x = F.pad(x[:, None], (half, half), mode="reflect")[:, 0]
        frames = x.unfold(1, self.window, self.hop)
        if self.window <= _MATRIX:
            real, imaginary = torch.split(frames @ self.matrix, self.bins, -1)
        else:
            real, imaginary = torch.view_as_real(torch.fft.rfft(frames * self.hann)).unbind(-1)
        return real, imaginary


def magnitude(parts: tuple[Tensor, Tensor], floor: float = 1e-6) -> Tensor:
    """The square root of real² + imaginary² + floor²."""
    real, imaginary = parts
    if real.is_cuda and on_card()[0] is not None and on_card()[0].fits(real, imaginary):
        y: Tensor = on_card()[0].Magnitude.apply(real, imaginary, floor)
        return y
    return plain_magnitude(real, imaginary, floor)


def plain_magnitude(real: Tensor, imaginary: Tensor, floor: float) -> Tensor:
    """`magnitude` in torch's own operations."""
    return (real.square() + imaginary.square() + floor * floor).sqrt()


@functools.cache
def on_card() -> tuple[Any, str]:
    """The kernels of `magnitude` for CUDA, tried by the first call; None where they cannot be used, and why not."""
    try:
        from .device import magnitude_kernels

        packed = torch.linspace(-1, 1, 2 * 5 * 33 * 2, device="cuda").view(2, 5, 33, 2)
        found = []
        for function in (magnitude_kernels.Magnitude.apply, plain_magnitude):
            leaf = packed.clone().requires_grad_()
            y = function(leaf[..., 0], leaf[..., 1], 0.1)
            found.append([y.detach(), *torch.autograd.grad((y * y * y).sum(), [leaf])])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    except Exception as error:  # of Triton, its compiler, the driver
        return None, " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return magnitude_kernels, ""


def mel_bands(sample_rate: int, window: int, bands: int) -> npt.NDArray[np.float64]:
    """``[bins, bands]``: triangles of equal area on Slaney's mel scale, from 0 to half the rate."""

    def mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(
            hertz < 1000, hertz * 3 / 200, 15 + np.log(np.maximum(hertz, 1e-9) / 1000) / (math.log(6.4) / 27)
        )

    def hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))

    edges = hertz(np.linspace(0, float(mel(np.array(sample_rate / 2))), bands + 2))
    bins = np.linspace(0, sample_rate / 2, window // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles: npt.NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return triangles
