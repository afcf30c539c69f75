"""ESTOI: how well the envelopes of a clip's frequency bands survive. Speech is understood by them.

Mel distance and ViSQOL can improve although speech becomes unintelligible; this measure shows it.

Knows: the extended short-time objective intelligibility of Jensen and Taal (2016), at the clip's own rate: third-octave
bands from 150 Hz to 4.3 kHz, and segments of 384 ms, each normalised over time and then over bands. Does not know:
losses.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 0.0256  #: seconds; frames are half a window apart
_BANDS = 15
_LOWEST = 150.0  #: Hz, the centre of the lowest band
_SEGMENT = 30  #: frames
_SILENT = -200.0  #: dB; of a frame without any sound
_RANGE = 40.0  #: dB; frames of the original that are quieter than the loudest by more than this are left out


def estoi(x: Tensor, y: Tensor, sample_rate: int) -> Tensor:
    """Mean correlation of the normalised band envelopes of the original ``x`` and of ``y``, both ``[T]``; 1 at best.

    A clip with less than one segment of sound gives nan, and so does one that is shorter than a frame.
    """
    window = 2 * round(_WINDOW * sample_rate / 2)
    if len(x) < window:
        return torch.full((), torch.nan)
    hann = torch.hann_window(window + 2, periodic=False, device=x.device)[1:-1]
    a, b = (s.unfold(0, window, window // 2) * hann for s in (x, y))
    level = 20 * torch.log10(a.norm(dim=1) + 1e-12)
    kept = (level > level.max() - _RANGE) & (level > _SILENT)
    if int(kept.sum()) < _SEGMENT:
        return torch.full((), torch.nan)
    # As published: join the frames that are kept, and divide the result into frames again.
    a, b = (_overlapped(s[kept]).unfold(0, window, window // 2) * hann for s in (a, b))
    bands = _third_octaves(sample_rate, window).to(x.device)
    e, f = ((torch.fft.rfft(s, 2 * window).abs().square() @ bands).sqrt().unfold(0, _SEGMENT, 1) for s in (a, b))
    return (_normalised(e) * _normalised(f)).sum((1, 2)).mean() / _SEGMENT  # [segments, bands, frames]


def _overlapped(frames: Tensor) -> Tensor:
    """Frames half a window apart, overlapped and added."""
    half = frames.shape[1] // 2
    parts = F.pad(frames[:, :half], (0, 0, 0, 1)) + F.pad(frames[:, half:], (0, 0, 1, 0))
    return parts.reshape(-1)


def _normalised(e: Tensor) -> Tensor:
    for axis in (2, 1):
        e = e - e.mean(axis, keepdim=True)
        e = e / (e.norm(dim=axis, keepdim=True) + 1e-12)
    return e


def _third_octaves(sample_rate: int, window: int) -> Tensor:
    """``[bins, bands]``: 1 inside a band."""
    bins = torch.arange(window + 1) * sample_rate / (2 * window)
    centres = _LOWEST * 2 ** (torch.arange(_BANDS) / 3)
    inside = (bins[:, None] >= centres * 2 ** (-1 / 6)) & (bins[:, None] < centres * 2 ** (1 / 6))
    return inside.float()
