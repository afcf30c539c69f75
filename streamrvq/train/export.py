"""From a trained module to weights that ship: folded, rounded to float16 values, and then measured again.

Knows: rounding. Does not know: the loop.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import WeightsError
from ..nn import CodecModel
from ..weights import Weights, save_weights
from .losses import Losses
from .validation import validate


def rounded(model: CodecModel, name: str, trained: str = "") -> Weights:
    """The folded weights of ``model``, each value rounded to the nearest float16.

    Raises:
        WeightsError: a value is beyond the range of float16. The message names it.
    """
    exact = model.to_weights(name, trained=True)
    tensors = {}
    for key, value in exact.tensors.items():
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.isfinite(half).all():
            worst = float(np.abs(value).max())
            raise WeightsError(f"{key} reaches {worst:g}, which float16 cannot hold; wanted at most 65504")
        tensors[key] = half
    return Weights.from_tensors(exact.config, tensors, name=name, trained=True, training=trained)


def training(steps: int, audio_seconds: float) -> str:
    """How long weights were trained, for people."""
    audio = f"{audio_seconds:.0f} s" if audio_seconds < 120 else f"{audio_seconds / 60:.0f} minutes"
    return f"{steps} step{'s' * (steps != 1)}, {audio} of audio"


def write(model: CodecModel, name: str, trained: str, path: Path) -> Weights:
    """Write the rounded weights to ``path`` (.safetensors, float16). ``trained``: see `training`.

    Where float16 cannot hold them, they are written as they are, in float32. That happens where a codebook has more
    entries than there are different frames: the next level then magnifies what is left of them, which is almost 0.

    Raises:
        WeightsError: a value is not finite, or the file cannot be written.
    """
    half = True
    try:
        weights = rounded(model, name, trained)
    except WeightsError:
        half = False
        weights = dataclasses.replace(model.to_weights(name, trained=True), training=trained)
    save_weights(weights, path, "streamrvq", half=half)
    return weights


def measure(model: CodecModel, weights: Weights, path: Path, clips: list[Tensor], losses: Losses) -> dict[str, Any]:
    """The figures of ``model`` and of its rounded ``weights``, which lie at ``path``.

    Returns:
        ``codec_hash``, ``bytes`` and, if there are ``clips``, the figures of `validate`: ``exact`` and ``rounded``.
    """
    figures = {"codec_hash": weights.codec_hash, "bytes": path.stat().st_size}
    if not clips:
        return figures
    device = next(model.parameters()).device
    return figures | {
        "exact": validate(model, clips, losses),
        "rounded": validate(CodecModel.from_weights(weights).to(device), clips, losses),
    }
