"""How many frames the codebooks are made from, so that a run of few minutes trains for most of them.

A run of 40 000 steps can spend minutes on its codebooks. One that ends after a minute cannot. How many frames fit
follows from the settings and the minutes, and not from a clock: so the same command gives the same weights.

Knows: what a frame costs, roughly. Does not know: how codebooks are made (codebooks.py).
"""

from __future__ import annotations

import sys
from numbers import Real

from ...errors import ConfigError
from ...families import encoder_plan
from ...system.foreign_data import shown
from ..config import TrainConfig
from ..numbers import is_count

_SHARE = 0.1  #: of the minutes
#: Operations a second that any machine is trusted with. Two shared cores do 20 to 40 · 10⁹ in the encoder.
_SPEED = 10e9
#: Rounds of k-means. In each, a frame is compared with every entry.
ROUNDS = 20
#: K-means waits for memory: a comparison takes the time of about this many operations for each of its products.
_SLOWER = 4
_MOST_THREADS = 1024  #: torch ends the process where the system has no room for them


def check_minutes(minutes: float | None, profile: float | None = None) -> None:
    """Raises `ConfigError` for minutes, or seconds of a profile, that are no number of at least 0."""
    for name, value in (("minutes", minutes), ("profile", profile)):
        if value is not None and not _is_amount(value):
            raise ConfigError(f"{name} is {shown(value)}; wanted a number of at least 0, such as 10")


def _is_amount(value: object) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and 0 <= value <= sys.float_info.max  # type: ignore[operator]


def check_threads(threads: int) -> None:
    """Raises `ConfigError` for threads of a shard that are no whole number from 1 to `_MOST_THREADS`."""
    if not is_count(threads) or not 1 <= threads <= _MOST_THREADS:
        raise ConfigError(f"threads is {shown(threads)}; wanted a whole number from 1 to {_MOST_THREADS}")


def frames_for(config: TrainConfig, minutes: float | None) -> int:
    """The frames to make codebooks from, at most ``config.codebook_frames``. ``minutes`` None: as many as that.

    A frame costs two operations for each product of the encoder and, slower, of k-means: rounds × levels × entries ×
    dimensions. Raises as `check_minutes`.
    """
    codec = config.codec
    check_minutes(minutes)
    if minutes is None:
        return config.codebook_frames
    k_means = ROUNDS * codec.n_codebooks * codec.codebook_size * codec.codebook_dim
    cost = 2 * (encoder_plan(codec).macs + _SLOWER * k_means)
    fit = int(min(config.codebook_frames, _SHARE * 60 * minutes * _SPEED / cost))  # which may be infinite
    least = 2 * codec.codebook_size  # with fewer, most entries would be single frames
    return min(config.codebook_frames, max(least, fit))
