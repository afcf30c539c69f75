"""Runs of a tiny codec: its audio, its settings, and an observer that keeps what it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamrvq.train import TrainConfig
from tests.support.contract import minute

CODEC = minute((4, 4), causal=True, stem=4, encoder_dim=4, decoder_dim=16, quantizer_dropout=0.5)


class Silent:
    """An observer that keeps the events."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.validations: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.made: list[tuple[str, int, float]] = []

    def decoded(self, name: str, seconds: float) -> None: ...

    def remarked(self, text: str) -> None:
        self.remarks.append(text)

    def making(self, what: str, frames: int, share: float) -> None:
        self.made.append((what, frames, share))

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, float]) -> None:
        assert speed > 0
        assert audio_seconds > 0
        self.steps.append(figures)

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        self.validations.append(figures)


def tones(folder: Path, count: int, seed: int = 0, seconds: float = 0.5) -> Path:
    """``count`` files of tones that fade, in a new folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    t = np.arange(int(44100 * seconds)) / 44100
    for i in range(count):
        pcm = sum(np.sin(2 * np.pi * rng.uniform(100, 2000) * t) * np.exp(-t * rng.uniform(1, 9)) for _ in range(3))
        soundfile.write(folder / f"{i}.wav", 0.2 * pcm, 44100)
    return folder


def audio_in(root: Path) -> Path:
    """A folder with ``train`` and ``validation``."""
    tones(root / "train", 4)
    tones(root / "validation", 2, seed=1)
    return root


def config_of(audio: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "codec": CODEC, "name": "tiny", "train": (str(audio / "train"),), "validation": (str(audio / "validation"),),
        "steps": 8, "batch": 2, "frames": 32, "plain_steps": 2, "codebook_frames": 256, "precision": "float32",
        "validate_every": 4, "log_every": 2, "checkpoint_every": 3, "validation_clips": 2, "validation_seconds": 0.2,
        "warmup": 2, "expire": 0.4, "codebook_decay": 0.8,
    }  # fmt: skip
    return TrainConfig(**(values | changes))
