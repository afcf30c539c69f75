"""The losses between a clip and its reconstruction, one number a clip.

Knows: DAC's multi-scale mel distance, a multi-resolution STFT loss, one of compressed complex spectra, the waveform
term. Does not know: how they are weighed against each other (balance.py), discriminators (adversarial.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .spectra import MEL_BANDS, MEL_WINDOWS, Spectrum, magnitude, mel_bands

_MEL_FLOOR = 1e-5  #: DAC's
_POWER = 0.5  #: of magnitudes in ``compressed``: between what is heard of a level (0.3) and a waveform's error (1)
_SILENCE = 1e-4  #: magnitude below which ``compressed`` hears nothing
_STFT_FLOOR = 1e-3  #: about the magnitude of 16-bit rounding noise in the longest window


class Losses(nn.Module):
    """Targets are analysed once, and one analysis of the reconstruction serves both spectral losses.

    Args:
        sample_rate: Hz.
        stft_windows: windows of the STFT loss, out of `MEL_WINDOWS`.
    """

    def __init__(self, sample_rate: int, stft_windows: Sequence[int]) -> None:
        super().__init__()
        self.stft_windows = tuple(stft_windows)
        self.spectra = nn.ModuleList(Spectrum(window) for window in MEL_WINDOWS)
        for window, bands in zip(MEL_WINDOWS, MEL_BANDS, strict=True):
            basis = torch.from_numpy(mel_bands(sample_rate, window, bands)).float()
            self.register_buffer(f"mel{window}", basis, persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """``x``, the original, and ``y``, both ``[B, T]`` → ``mel``, ``stft``, ``compressed``, ``wave``, each ``[B]``.

        ``mel`` is the sum over DAC's seven windows of the mean difference of log10 mel bands (DAC's "mel/loss");
        ``stft`` the mean over windows of spectral convergence and mean difference of log magnitudes; ``wave`` the mean
        difference of samples; ``compressed`` the sum over the STFT's windows of the mean distance of spectra whose
        magnitudes, not phases, are raised to a power of 0.5, over the original's mean (after Braun and Tashev 2020).
        The gradient of a log is the greatest where there is next to nothing, and by itself forgets what is said.
        """
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


def si_sdr(x: Tensor, y: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB of ``[B, T]``, means removed: ``[B]``."""
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    scale = (x * y).sum(1, keepdim=True) / (x.square().sum(1, keepdim=True) + 1e-9)
    target = scale * x
    return 10 * torch.log10((target.square().sum(1) + 1e-9) / ((y - target).square().sum(1) + 1e-9))
