"""What is measured between a clip and its reconstruction.

Mel distance and SI-SDR are the ones that training uses. torch is imported when a clip is first scored, so that the
command's help and its refusals come at once.

Knows: the packages that measure, the rates that they want, which of them are for speech only. Does not know: systems,
means, words (words.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr

from .clips import RATE, Samples
from .errors import QualityError

if TYPE_CHECKING:
    import torch

    from streamrvq.train.losses import Losses


@dataclass(frozen=True)
class Metric:
    """A column of the table: its heading, whether more is better, its decimals, and whether it is for speech only."""

    title: str
    more_is_better: bool
    decimals: int = 2
    speech_only: bool = False


METRICS = {
    "visqol": Metric("ViSQOL", True),
    "mel": Metric("mel distance", False),
    "stft": Metric("MR-STFT", False),
    "si_sdr": Metric("SI-SDR dB", True, 1),
    "pesq": Metric("PESQ", True, speech_only=True),
    "estoi": Metric("ESTOI", True, speech_only=True),
    "wer": Metric("WER %", False, 1, speech_only=True),
}
#: PESQ is measured only on request: its owners allow the wrapped code for non-commercial evaluation only.
DEFAULT = tuple(name for name in METRICS if name != "pesq")
PACKAGES = {
    "visqol": "visqol", "stft": "auraloss", "pesq": "pesq", "estoi": "pystoi", "wer": "faster_whisper",
}  # fmt: skip


def check_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """The names, in the table's order. Raises `QualityError` for an unknown name or a missing package."""
    import importlib.util

    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise QualityError(f"the metrics {', '.join(unknown) or 'none'} came; wanted some of {', '.join(METRICS)}")
    for name in names:
        if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
            raise QualityError(
                f"the package {PACKAGES[name]} for {name} is not installed; wanted what tools/quality installs: run "
                "that, or leave the metric out with --metrics"
            )
    return tuple(name for name in METRICS if name in names)


class Judge:
    """Scores samples at 44.1 kHz. Each metric's package is loaded when it is first needed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def __call__(self, x: Samples, y: Samples, split: str, kind: str) -> dict[str, float | None]:
        """A score for each metric that applies to such clips, of ``y`` against the original ``x``, ``[samples]`` each.

        A score is None if the metric has nothing to measure: PESQ finds no utterance, ESTOI less than 0.4 s of speech,
        or SI-SDR no difference.
        """
        if x.shape != y.shape:
            raise QualityError(f"{y.shape[0]} samples were to be scored against {x.shape[0]}; wanted as many")
        found: dict[str, float | None] = {}
        for name in self.names:
            if name == "wer" or (METRICS[name].speech_only and kind != "speech"):
                continue
            if split == "words" and not METRICS[name].speech_only:
                continue  # these are for full-band clips
            value = getattr(self, f"_{name}")(x, y)
            found[name] = None if value is None or not np.isfinite(value) else float(value)
        return found

    @cached_property
    def _visqol_api(self) -> Any:
        from visqol.api import VisqolApi

        api = VisqolApi()
        api.create(mode="audio")
        return api

    def _visqol(self, x: Samples, y: Samples) -> float:
        return float(self._visqol_api.measure_from_arrays(_at(x, 48000), _at(y, 48000), 48000).moslqo)

    @cached_property
    def _losses(self) -> Losses:
        from streamrvq.train.losses import Losses

        return Losses(RATE, ())

    def _mel(self, x: Samples, y: Samples) -> float:
        import torch

        with torch.no_grad():
            return float(self._losses(*_pair(x, y))["mel"])

    @cached_property
    def _multi_resolution(self) -> Any:
        from auraloss.freq import MultiResolutionSTFTLoss

        return MultiResolutionSTFTLoss()

    def _stft(self, x: Samples, y: Samples) -> float:
        import torch

        a, b = _pair(x, y)
        with torch.no_grad():
            return float(self._multi_resolution(b[:, None], a[:, None]))

    def _si_sdr(self, x: Samples, y: Samples) -> float | None:
        from streamrvq.train.losses import si_sdr

        return None if np.array_equal(x, y) else float(si_sdr(*_pair(x, y)))

    def _pesq(self, x: Samples, y: Samples) -> float | None:
        from pesq import PesqError, pesq

        try:
            return float(pesq(16000, _at(x, 16000), _at(y, 16000), "wb"))
        except PesqError:
            return None

    def _estoi(self, x: Samples, y: Samples) -> float | None:
        from pystoi import stoi

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = float(stoi(_at(x, 16000), _at(y, 16000), 16000, extended=True))
        return None if any("Not enough STFT frames" in str(warning.message) for warning in caught) else value


def _at(x: Samples, rate: int) -> Any:
    return soxr.resample(x.astype(np.float64), RATE, rate, quality="VHQ")


def _pair(x: Samples, y: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    return torch.from_numpy(x)[None], torch.from_numpy(np.ascontiguousarray(y))[None]
