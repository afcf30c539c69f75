"""A small codec whose weights the tests of file layouts write, read and damage.

Knows: its configuration, and how two sets of weights are compared. Does not know: layouts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamrvq.config import CodecConfig
from streamrvq.weights import Weights

SMALL: dict[str, Any] = {
    "encoder_dim": 4, "encoder_rates": [2, 5], "decoder_dim": 16, "decoder_rates": [5, 2],
    "n_codebooks": 3, "codebook_size": 16, "codebook_dim": 4,
}  # fmt: skip
CONFIG = CodecConfig(**SMALL, latent_dim=12)
#: The name of one of its tensors.
ANY = "encoder.block.1.block.0.block.1.weight"


def same(a: Weights, b: Weights) -> bool:
    """Whether configuration and tensors are equal."""
    return a.config == b.config and all(np.array_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def ulps(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The greatest difference, in float32 units in the last place."""
    return float((np.abs(a.astype(np.longdouble) - b) / np.spacing(np.abs(b).astype(np.float32))).max())
