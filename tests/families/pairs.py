"""Small codecs of the families beside DAC: official models with random weights, and ours loaded from their files.

Knows: transformers' models (tests/reference/spread.py), the layout of files that they save. Does not know: what is
asserted.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamrvq.codec import Codec, load
from tests.reference.spread import SMALL_ENCODEC, SMALL_MIMI, official, save

FAMILIES = ["encodec", "mimi"]
#: Strides, paddings and windows of the released models with few channels; the same with a transformer that soon sees no
#: longer all positions; for many short signals, strides that multiply
#: to 8, and a transformer that sees 5 positions; the first with more entries a level; the released models' own sizes.
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "small": {"encodec": SMALL_ENCODEC, "mimi": SMALL_MIMI},
    "sliding": {"encodec": SMALL_ENCODEC, "mimi": SMALL_MIMI | {"sliding_window": 12}},
    "minute": {
        "encodec": SMALL_ENCODEC
        | {"num_filters": 2, "hidden_size": 6, "upsampling_ratios": [4, 2], "target_bandwidths": [144.0]},
        "mimi": SMALL_MIMI | {"num_filters": 2, "upsampling_ratios": [2, 2], "sliding_window": 5},
    },
    "entries": {
        "encodec": SMALL_ENCODEC | {"codebook_size": 256, "target_bandwidths": [4.8]},
        "mimi": SMALL_MIMI | {"codebook_size": 256},
    },
    "full": {"encodec": {}, "mimi": {}},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """An official model, and ours of its files."""

    name: str
    model: Any  #: transformers', float64
    folder: Path
    single: Codec  #: float32
    double: Codec  #: float64

    def latents(self, pcm: np.ndarray[Any, Any]) -> torch.Tensor:
        """The encoder's output ``[1, D, T]``, float64."""
        with torch.no_grad():
            z = self.model.encoder(torch.tensor(pcm, dtype=torch.float64)[None, None])
        latents: torch.Tensor = getattr(z, "latents", z)
        return latents

    def codes(self, latents: torch.Tensor) -> Any:
        """The model's own quantiser: ``[K, T]``."""
        with torch.no_grad():
            return self.model.quantizer.encode(latents)[:, 0].numpy()

    def decode(self, codes: np.ndarray[Any, Any]) -> Any:
        """The model's own decoder on codes ``[K, T]``: samples."""
        axis = 1 if self.name == "encodec" else 0
        with torch.no_grad():
            audio = self.model.decoder(self.model.quantizer.decode(torch.from_numpy(codes).unsqueeze(axis)).double())
        return getattr(audio, "audio_values", audio)[0, 0].numpy()


@lru_cache(maxsize=8)
def pair(name: str, size: str = "small") -> Pair:
    """A model of a family and ours, made once."""
    parent = tempfile.mkdtemp(prefix="streamrvq-")
    both = made(name, size, Path(parent))
    weakref.finalize(both, shutil.rmtree, parent)
    return both


def made(name: str, size: str, parent: Path) -> Pair:
    """The same anew, for whoever is not to keep it. Its files lie below ``parent``: 734 MB at full width."""
    model = official(name.capitalize(), **SETTINGS[size][name])
    folder = save(model, parent / name)
    return Pair(name, model.double(), folder, load(folder), load(folder, dtype="float64"))
