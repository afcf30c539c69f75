"""Magnitude spectra and mel bands as differentiable functions of samples.

Short windows are transformed by a matrix product, which is faster there than an FFT.

Knows: windows, hops of a quarter window, and Slaney's mel bands as librosa makes them, like DAC's. Does not know:
losses.
"""

from __future__ import annotations

import math

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
    return (real.square() + imaginary.square() + floor * floor).sqrt()


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


def in_bands(basis: Tensor) -> tuple[Tensor, Tensor]:
    """Which bands each bin of ``basis [bins, bands]`` is in: two neighbours at most, as triangles are.

    Returns:
        int32 ``[bins]``, the lower band, and ``[bins, 2]``, what the bin adds to that band and the next one.

    Raises:
        ValueError: a bin is in others.
    """
    bins, bands = basis.shape
    wide = torch.cat([basis, basis.new_zeros(bins, 1)], 1)
    band = (basis != 0).int().argmax(1)
    share = torch.stack([wide.gather(1, band[:, None])[:, 0], wide.gather(1, band[:, None] + 1)[:, 0]], 1)
    if not torch.equal((share != 0).sum(), (basis != 0).sum()):
        raise ValueError(f"a bin is in more than two of {bands} bands; wanted triangles, each from middle to middle")
    return band.int(), share
