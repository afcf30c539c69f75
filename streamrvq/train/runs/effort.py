"""How many frames the codebooks are made from, so that a run of few minutes trains for most of them.

A run of 40 000 steps can spend minutes on its codebooks. One that ends after a minute cannot. How many frames fit
follows from the settings and the minutes, and not from a clock: so the same command gives the same weights.

Knows: what a frame costs, roughly. Does not know: how codebooks are made (codebooks.py).
"""

from __future__ import annotations

import math

from ...errors import ConfigError
from ...families import encoder_plan
from ..config import TrainConfig

_SHARE = 0.1  #: of the minutes
#: Operations a second that any machine is trusted with. Two shared cores do 20 to 40 · 10⁹ in the encoder.
_SPEED = 10e9
#: Rounds of k-means. In each, a frame is compared with every entry.
ROUNDS = 20
#: K-means waits for memory: a comparison takes the time of about this many operations for each of its products.
_SLOWER = 4


def check_minutes(minutes: float | None) -> None:
    """Raises `ConfigError` for minutes that are no number of at least 0."""
    if minutes is not None and not 0 <= minutes < math.inf:
        raise ConfigError(f"minutes is {minutes:g}; wanted a number of at least 0, such as 10")


def frames_for(config: TrainConfig, minutes: float | None) -> int:
    """The frames to make codebooks from, at most ``config.codebook_frames``. ``minutes`` None: as many as that.

    A frame costs two operations for each product of the encoder and, slower, of k-means: rounds × levels × entries ×
    dimensions.
    """
    codec = config.codec
    if minutes is None:
        return config.codebook_frames
    k_means = ROUNDS * codec.n_codebooks * codec.codebook_size * codec.codebook_dim
    cost = 2 * (encoder_plan(codec).macs + _SLOWER * k_means)
    fit = int(_SHARE * 60 * minutes * _SPEED / cost)
    least = 2 * codec.codebook_size  # with fewer, most entries would be single frames
    return min(config.codebook_frames, max(least, fit))
