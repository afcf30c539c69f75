"""A real codec with very little arithmetic: every part of a step runs, and many streams fit on a core.

Knows: its configuration. Does not know: who serves it.
"""

from __future__ import annotations

from pathlib import Path

from streamrvq.config import CodecConfig
from streamrvq.weights import save_weights, seeded

#: The default codec's rate, hop, codebooks and shape, with an eighth of its channels. Still narrower layers would leave
#: most of every vector empty and cost more.
CONFIG = CodecConfig(sample_rate=44_100, encoder_dim=16, encoder_rates=(4, 4), stem=32, decoder_dim=64,
                     decoder_rates=(4, 4), latent_dim=16, n_codebooks=9, causal=True)  # fmt: skip


def write_tiny(folder: Path) -> Path:
    """Write its weights, which are seeded random numbers, to a file that any server can load."""
    path = folder / "tiny.safetensors"
    save_weights(seeded(CONFIG, name="tiny"), path)
    return path
