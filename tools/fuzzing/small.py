"""A small codec for the targets' right files: a few KB, and every kind of layer.

Knows: its configuration. Does not know: formats.
"""

from __future__ import annotations

from functools import lru_cache

from streamrvq.codec import Codec
from streamrvq.config import CodecConfig
from streamrvq.weights import Weights, seeded

#: Hop 8, 3 codebooks of 16 entries. Symmetric, so that every layout of weights can hold it.
CONFIG = CodecConfig(encoder_dim=2, encoder_rates=(2, 4), latent_dim=4, decoder_dim=4, decoder_rates=(4, 2),
                     n_codebooks=3, codebook_size=16, codebook_dim=2)  # fmt: skip


@lru_cache(maxsize=1)
def weights() -> Weights:
    """Seeded weights."""
    return seeded(CONFIG, name="small")


@lru_cache(maxsize=1)
def codec() -> Codec:
    """The codec, on one thread."""
    return Codec(weights(), threads=1)
