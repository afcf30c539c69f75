"""A run's log: a JSON object on each line. The first says what the figures of the others mean.

Knows: names and units of the figures. Does not know: how they are computed, who reads it (rows.py).
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from ...system.atomic_file import append_line
from .folder import unwritable

#: What the log's figures are. In a row of steps they are means over the steps since the last one.
LEGEND = {
    "event": "what the row is of: legend, data, continued, made, train, validation, checkpoint or export",
    "step": "steps done",
    "audio_seconds": "seconds of audio trained on, each crop counted",
    "train_seconds": "seconds spent in steps",
    "time": "seconds since 1970",
    "speed": "seconds of audio trained on in a second",
    "speed_now": "the same since the last reading, on a GPU",
    "tflops": "10¹² operations a second of matrix products and convolutions since the last reading, on a GPU",
    "of_peak": "that as a share of the GPU's peak in the precision of the run",
    "lost": "share of the steps without a finite gradient, which changed nothing",
    "lr": "learning rate of the matrices",
    "mel": "distance of log10 mel bands, summed over seven windows; lower is better; DAC's mel/loss",
    "stft": "distance of STFT magnitudes, the mean over windows; lower is better",
    "compressed": "distance of compressed complex spectra, relative to the original; lower is better",
    "wave": "mean difference of samples; full scale is 1; lower is better",
    "commitment": "mean squared distance of latents and their entries; lower is better",
    "adversarial": "how surely the discriminators call the output a copy; 0 is best",
    "feature": "distance of the discriminators' features; lower is better",
    "gradient": "norm of the gradient of all parameters",
    "si_sdr": "scale-invariant signal-to-distortion ratio in dB; higher is better",
    "estoi": "intelligibility of speech, 0 to 1; higher is better; null: no clip is long enough for a figure",
    "energy": "log10 of decoded over original power; 0 is best",
    "used": "share of the entries that were used, for each level; higher is better",
    "entropy": "bits that an entry's number carries, for each level; higher is better",
}


class Means:
    """Means of the figures of several steps."""

    def __init__(self) -> None:
        self._values: dict[str, list[tuple[float, int]]] = {}

    def add(self, figures: dict[str, float], steps: int = 1) -> None:
        """Add figures, which may be means over ``steps`` steps."""
        for name, value in figures.items():
            self._values.setdefault(name, []).append((value, steps))

    def take(self) -> dict[str, float]:
        """The means of what was added since the last call."""
        taken, self._values = self._values, {}
        return {
            name: round(sum(value * steps for value, steps in values) / sum(steps for _, steps in values), 5)
            for name, values in taken.items()
        }


class Log:
    """The log at ``path``, which is begun with the legend.

    Raises:
        ConfigError: in `write`: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, row: dict[str, Any]) -> None:
        """Append a row. The time is added; a number that is not finite becomes null."""
        try:
            if not self.path.exists():
                append_line(self.path, json.dumps({"event": "legend", **_stamp(row), "figures": LEGEND}))
            append_line(self.path, json.dumps(finite(_stamp(row) | row), allow_nan=False))
        except OSError as error:
            raise unwritable(self.path, error) from None


def _stamp(row: dict[str, Any]) -> dict[str, Any]:
    """The figures that every row has."""
    return {name: row[name] for name in ("step", "audio_seconds", "train_seconds")} | {"time": round(time.time())}


def finite(value: Any) -> Any:
    """What JSON can hold of ``value``: a number that is not finite, which is no figure, becomes None."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
