"""The spectral losses on a GPU: one function of both signals with a gradient of its own, for all windows.

Transforms are cuFFT's, in float32. The gradient of a real transform is one complex-to-real transform; torch's own would
pad the bins and take a complex one twice as long.

Knows: the order of kernels and transforms, and what is kept for the gradients. Does not know: the formulas of bins and
bands (spectral_kernels.py), torch's own way (losses.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import spectral_kernels as kernels

_LONGEST = 1 << 28  #: samples of a clip; the kernels count numbers of a clip in 32 bits


class Window(NamedTuple):
    """The constants of a window of N samples.

    Attributes:
        hann: ``[N]``.
        basis: ``[N/2 + 1, bands]``, mel bands.
        band, share: ``[N/2 + 1]`` int32 and ``[N/2 + 1, 2]``; see `spectra.in_bands`.
        compare: whether the STFT and compressed losses use it.
    """

    hann: Tensor
    basis: Tensor
    band: Tensor
    share: Tensor
    compare: bool


def fits(x: Tensor, y: Tensor, longest: int) -> bool:
    """Whether `Spectral` takes these signals, with windows of at most ``longest`` samples."""
    return (
        x.ndim == 2 and x.shape == y.shape and x.dtype == y.dtype == torch.float32 and x.shape[0] > 0
        and longest // 2 < x.shape[1] < _LONGEST
    )  # fmt: skip


class Spectral(torch.autograd.Function):
    """x and y ``[B, T]``, float32, and windows → the losses mel, stft and compressed, each ``[B]``.

    Only y gets a gradient, and only once: it has none itself. A loss that is not differentiated costs nothing there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, windows: Sequence[Window]) -> tuple[Tensor, Tensor, Tensor]:
        x, y = x.contiguous(), y.contiguous()
        clips, time = x.shape
        columns = [kernels.tiles_of((4 * time // len(w.hann) + 1) * w.basis.shape[1]) for w in windows]
        distances = x.new_empty(clips, sum(columns))
        spectra, slopes, sums = [], [], []
        for i, window in enumerate(windows):
            spectrum = torch.fft.rfft(kernels.framed(x, y, window.hann))
            size, found = kernels.magnitudes(spectrum, window.compare)
            slopes.append(kernels.bands(size @ window.basis, distances, sum(columns[:i])))
            spectra.append(spectrum)
            if found is not None:
                sums.append(found)
        numbers = [s.shape[1] * s.shape[2] for s, w in zip(spectra, windows, strict=True) if w.compare]
        stft, compressed, factors = _compared(sums, numbers, distances)
        ctx.save_for_backward(*spectra, *slopes, *factors)
        ctx.windows, ctx.time = windows, time
        ctx.set_materialize_grads(False)
        return distances.sum(1), stft, compressed

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[None, Tensor | None, None]:
        mel, stft, compressed = grads
        if mel is None and stft is None and compressed is None:
            return None, None, None
        windows: Sequence[Window] = ctx.windows
        count = len(windows)
        spectra, slopes, factors = (ctx.saved_tensors[i : i + count] for i in (0, count, 2 * count))
        compare = stft is not None or compressed is not None
        clips = spectra[0].shape[0] // 2
        zero = spectra[0].real.new_zeros(clips)
        by = [zero if g is None else g for g in (mel, stft, stft, compressed)]
        upstream = torch.stack(by, 1)
        total = zero.new_zeros(clips, ctx.time)
        done = 0
        for spectrum, slope, window in zip(spectra, slopes, windows, strict=True):
            mine = upstream
            if compare and window.compare:
                mine, done = upstream * factors[done], done + 1
            elif mel is None:
                continue
            g = kernels.to_spectra(
                spectrum, None if mel is None else slope, window.band, window.share, mine, compare and window.compare
            )
            frames = torch.fft.irfft(g, len(window.hann), norm="forward")  # without a scale
            kernels.add_overlapping(total, frames, window.hann)
        return None, total, None


def _compared(sums: list[Tensor], numbers: list[int], like: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """The losses stft and compressed from `kernels.magnitudes`' sums over ``numbers`` of bins, for each window.

    Returns:
        stft, compressed, and for each window the factors ``[B, 4]`` of `kernels.to_spectra` per unit of each loss.
    """
    if not sums:
        return like.new_zeros(like.shape[0]), like.new_zeros(like.shape[0]), ()
    apart, whole, logs, loud, distance = torch.stack(sums).unbind(2)  # each [windows, B]
    share = 1 / len(sums)
    per_log = torch.stack([torch.full_like(like[:, 0], share / number) for number in numbers])
    length = (apart + 1e-12).sqrt()
    scale = share / ((whole + 1e-12).sqrt() + 1e-3)
    factors = torch.stack([torch.ones_like(length), scale / length, per_log, 1 / loud], 2)
    return (length * scale + logs * per_log).sum(0), (distance / loud).sum(0), factors.unbind(0)
