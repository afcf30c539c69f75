"""The clips that come with the demos."""

from pathlib import Path

import numpy as np
import soundfile

FOLDER = Path(__file__).parent / "audio"
DEFAULT = FOLDER / "guitar_and_drums.flac"


def clip(name: str, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """The first ``seconds`` of one of these clips, float32 [samples], and its rate in Hz."""
    rate = soundfile.info(FOLDER / name).samplerate
    pcm, _ = soundfile.read(FOLDER / name, frames=-1 if seconds is None else int(seconds * rate), dtype="float32")
    return pcm, rate
