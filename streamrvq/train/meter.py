"""First values for a level meter: a residual unit that adds to its input how loud each band of it is, in steps of a
logarithm.

Knows: why: what a spectral loss asks for first is the level of every band, and a network that passes waveforms on takes
thousands of steps to find levels worth sending; until then the codebooks are spent on waveforms. How: two channels ±v
leave Snake as ``±v + sin²(αv)/α``, whose sum is ``2·sin²(αv)/α``: the filter's output squared and, unlike a square,
full at ``v ≈ 1/α``. Its mean over a noise of deviation σ is ``(1 − exp(−2α²σ²))/α``, a step of a logarithmic scale, and
several α far apart are a scale. Does not know: where in the network the unit is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..nn import ResidualUnit, Snake1d, WNConv1d

_ALPHAS = (1.0, 5.0, 25.0, 125.0)  #: one step of the scale each, 14 dB apart
_LINEAR = 0.02  #: alpha of the Snake before the filters, which is to leave loud bands out of quiet ones
_LOWEST = 60.0  #: Hz


def bands(channels: int) -> int:
    """How many bands a unit of so many channels can meter."""
    return channels // (2 * len(_ALPHAS))


def filters(count: int, length: int, sample_rate: int) -> Tensor:
    """``[count, length]``: Hann-windowed cosines of random phase and length 1, even on the mel scale; each lasts as
    long as its band is narrow, and ends at the last tap."""
    # Slaney's scale is linear up to 1 kHz and logarithmic above; ln(1 + f / 700 Hz) is close to it and has no corner.
    top = math.log1p(0.45 * sample_rate / 700)
    low = math.log1p(_LOWEST / 700)
    edges = [700 * math.expm1(low + (top - low) * i / (count + 1)) for i in range(count + 2)]
    made = torch.zeros(count, length, dtype=torch.float64)
    for i in range(count):
        width = (edges[i + 2] - edges[i]) / 2
        taps = min(length, max(8, round(2 * sample_rate / width)))  # a Hann window's main lobe is 4 / taps wide
        time = torch.arange(taps, dtype=torch.float64)
        phase = 2 * math.pi * (edges[i + 1] / sample_rate * time + float(torch.rand(())))
        wave = torch.hann_window(taps, dtype=torch.float64) * torch.cos(phase)
        made[i, length - taps :] = wave / wave.norm()
    return made


@torch.no_grad()
def put_meter(unit: ResidualUnit, block: int, read: Tensor, write: Tensor, sample_rate: int) -> None:
    """Make ``unit`` a meter.

    Args:
        unit: of dilation 1.
        block: samples a position of its input stands for.
        read: ``[block, channels]``: from its input to the samples.
        write: ``[channels, bands]``: where a band's level is added, 1 a step of the scale.
        sample_rate: Hz.
    """
    before, wide, bend, narrow = unit.block
    assert isinstance(before, Snake1d) and isinstance(wide, WNConv1d)
    assert isinstance(bend, Snake1d) and isinstance(narrow, WNConv1d)
    count, kernel = write.shape[1], wide.layer.kernel
    bank = filters(count, kernel * block, sample_rate).reshape(count, kernel, block) @ read  # [bands, taps, channels]
    bank = bank.transpose(1, 2).float()
    first, last = wide.folded() * 0.02, narrow.folded() * 0.02
    bend.alpha.fill_(1.0)
    before.alpha.fill_(_LINEAR)
    for i, alpha in enumerate(_ALPHAS):
        up = slice(2 * i * count, (2 * i + 1) * count)
        down = slice((2 * i + 1) * count, (2 * i + 2) * count)
        first[up], first[down] = bank, -bank
        bend.alpha[:, up] = bend.alpha[:, down] = alpha
        last[:, up, 0] = last[:, down, 0] = alpha * write.float()  # the mean of 2·sin² when full is 1
    wide.set(first)
    narrow.set(last)
