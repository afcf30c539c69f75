"""The losses between a clip and its reconstruction, one number for each clip.

Knows: DAC's multi-scale mel distance, a multi-resolution STFT loss, a loss on compressed complex spectra, the
waveform term, and that a GPU has kernels for them. Does not know: how they are weighted (balance.py), discriminators
(adversarial.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .device.gpu import tried
from .numbers import check_distinct
from .spectra import MEL_BANDS, MEL_WINDOWS, Spectrum, in_bands, magnitude, mel_bands

_MEL_FLOOR = 1e-5  #: DAC's
_POWER = 0.5  #: of magnitudes in ``compressed``: between loudness as it is heard (0.3) and a waveform error (1)
_SILENCE = 1e-4  #: magnitude below which ``compressed`` ignores differences
_STFT_FLOOR = 1e-3  #: about the magnitude of 16-bit rounding noise in the longest window


class Losses(nn.Module):
    """All losses of a clip. One analysis of the reconstruction serves all spectral losses.

    Args:
        sample_rate: Hz.
        stft_windows: windows of the STFT loss, some of `MEL_WINDOWS`.

    Raises:
        ConfigError: a window is none of them, or comes twice.
    """

    def __init__(self, sample_rate: int, stft_windows: Sequence[int]) -> None:
        super().__init__()
        if other := sorted(set(stft_windows) - set(MEL_WINDOWS)):
            raise ConfigError(f"stft_windows has {other[0]}; wanted some of {', '.join(map(str, MEL_WINDOWS))}")
        check_distinct("stft_windows", stft_windows)
        self.stft_windows = tuple(stft_windows)
        self.spectra = nn.ModuleList(Spectrum(window) for window in MEL_WINDOWS)
        for window, bands in zip(MEL_WINDOWS, MEL_BANDS, strict=True):
            basis = torch.from_numpy(mel_bands(sample_rate, window, bands)).float()
            self.register_buffer(f"mel{window}", basis, persistent=False)
            for name, constant in zip(("band", "share"), in_bands(basis), strict=True):
                self.register_buffer(f"{name}{window}", constant, persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The losses of ``y`` against the original ``x``, both ``[B, T]``.

        The gradient of a log is greatest where a spectrum is almost empty. Used alone, log losses lose the speech; so
        there is ``compressed`` too.

        Returns:
            Each ``[B]``. ``mel``: the sum over DAC's seven windows of the mean difference of log10 mel bands (DAC's
            "mel/loss"). ``stft``: the mean over windows of spectral convergence plus the mean difference of log
            magnitudes. ``compressed``: the sum over the STFT's windows of the mean distance of spectra whose magnitudes
            (not phases) are raised to the power 0.5, relative to the original's mean (after Braun and Tashev 2020).
            ``wave``: the mean difference of samples.
        """
        if x.is_cuda and (kernels := on_gpu()[0]) is not None and kernels.fits(x, y, max(MEL_WINDOWS)):
            return self.fused(x, y, kernels)
        return self.plain(x, y)

    def fused(self, x: Tensor, y: Tensor, kernels: Any) -> dict[str, Tensor]:
        """`forward` with the ``kernels`` of a GPU, `device.spectral`."""
        windows = []
        for spectrum in self.spectra:
            assert isinstance(spectrum, Spectrum)
            constants = [getattr(self, f"{name}{spectrum.window}") for name in ("mel", "band", "share")]
            windows.append(kernels.Window(spectrum.hann, *constants, spectrum.window in self.stft_windows))
        mel, stft, compressed = kernels.Spectral.apply(x.detach(), y, windows)
        return {"mel": mel, "stft": stft, "compressed": compressed, "wave": (x - y).abs().mean(1)}

    def plain(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """`forward` in torch's own operations."""
        mel, stft, compressed = (x.new_zeros(x.shape[0]) for _ in range(3))
        for spectrum in self.spectra:
            assert isinstance(spectrum, Spectrum)
            with torch.no_grad():
                parts = spectrum(x)
                a = magnitude(parts)
            theirs = spectrum(y)
            b = magnitude(theirs)
            basis = getattr(self, f"mel{spectrum.window}")
            with torch.no_grad():
                a_mel = (a @ basis).clamp(min=_MEL_FLOOR).log10()
            mel = mel + (a_mel - (b @ basis).clamp(min=_MEL_FLOOR).log10()).abs().mean((1, 2))
            if spectrum.window in self.stft_windows:
                convergence = _norm(a - b) / (_norm(a) + 1e-3)
                log = (a.clamp(min=_STFT_FLOOR).log() - b.clamp(min=_STFT_FLOOR).log()).abs().mean((1, 2))
                stft = stft + (convergence + log) / len(self.stft_windows)
                with torch.no_grad():
                    scale = 1 / (magnitude(parts, _SILENCE) ** _POWER).mean((1, 2))
                    wanted = _compressed(parts)
                apart = [p - q for p, q in zip(_compressed(theirs), wanted, strict=True)]
                compressed = compressed + scale * magnitude((apart[0], apart[1]), 1e-8).mean((1, 2))
        return {"mel": mel, "stft": stft, "compressed": compressed, "wave": (x - y).abs().mean(1)}


def _compressed(parts: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    factor = magnitude(parts, _SILENCE) ** (_POWER - 1)
    return parts[0] * factor, parts[1] * factor


def _norm(a: Tensor) -> Tensor:
    return (a.square().sum((1, 2)) + 1e-12).sqrt()


def compared(
    kernels: Any, device: str, time: int, dtype: torch.dtype = torch.float32
) -> list[tuple[str, Tensor, Tensor]]:
    """What the ``kernels`` and torch give for three clips of ``time`` samples, loud to almost silent.

    Args:
        dtype: of torch's losses.

    Returns:
        Each loss ``[3]``, and its gradient ``[3, T]``, of length 1 in torch's losses: a name, ours and theirs.
    """
    generator = torch.Generator().manual_seed(time)
    x, noise = (torch.randn(3, time, generator=generator).to(device) for _ in range(2))
    level, ratio = (torch.tensor(v, device=device)[:, None] for v in ([0.3, 0.01, 2e-5], [2.0, 0.5, 0.5]))
    x, y = x * level, (x * ratio + 0.1 * noise) * level
    found: list[tuple[dict[str, Tensor], list[Tensor]]] = []
    for kind in (torch.float32, dtype):
        losses = Losses(44100, (2048, 512, 128)).to(device, kind)
        leaf = y.to(kind, copy=True).requires_grad_()
        ours = not found
        values = losses.fused(x, leaf, kernels) if ours else losses.plain(x.to(kind), leaf)
        gradients = [torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0] for value in values.values()]
        found.append((values, gradients))
    (values, gradients), (wanted, right) = found
    result = [(name, value.detach(), wanted[name].detach().float()) for name, value in values.items()]
    for name, mine, theirs in zip(values, gradients, right, strict=True):
        length = theirs.norm(dim=1, keepdim=True)
        result.append((f"the gradient of {name}", (mine / length).float(), (theirs / length).float()))
    return result


def check(kernels: Any, device: str, time: int, dtype: torch.dtype = torch.float32) -> None:
    """Raises `AssertionError` if a loss or a gradient of `compared` is off by more than rounding."""
    for name, ours, theirs in compared(kernels, device, time, dtype):
        if name.startswith("the"):
            error = float((ours - theirs).norm(dim=1).max())
        else:
            error = float(((ours - theirs) / theirs).abs().max())
        if not error < 1e-3:
            raise AssertionError(f"{name} of {time} samples is off by {error:.2g}; wanted less than 0.001")


@tried
def on_gpu() -> Any:
    """The kernels for CUDA, tried by the first call; None where they cannot be used, and why not."""
    from .device import spectral

    check(spectral, "cuda", 3001)
    return spectral


def si_sdr(x: Tensor, y: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio of ``[B, T]`` without means, in dB: ``[B]``."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = (x * y).sum(1, keepdim=True) / (x.square().sum(1, keepdim=True) + 1e-9)
    target = scale * x
    return 10 * torch.log10((target.square().sum(1) + 1e-9) / ((y - target).square().sum(1) + 1e-9))
