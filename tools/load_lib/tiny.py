"""A real codec of next to no arithmetic: every part of a step runs, and many streams fit a core.

Knows: its numbers. Does not know: who serves it.
"""

from __future__ import annotations

from pathlib import Path

from streamrvq.config import CodecConfig
from streamrvq.weights import save_weights, seeded

#: The default codec's rate, hop, codebooks and causality on the smallest network there is.
CONFIG = CodecConfig(sample_rate=44_100, encoder_dim=2, encoder_rates=(2, 4, 8, 8), decoder_dim=16,
                     decoder_rates=(8, 8, 4, 2), latent_dim=4, n_codebooks=9, causal=True)  # fmt: skip


def write_tiny(folder: Path) -> Path:
    """Its weights, seeded random numbers, as a file that any server can load."""
    path = folder / "tiny.safetensors"
    save_weights(seeded(CONFIG, name="tiny"), path)
    return path
