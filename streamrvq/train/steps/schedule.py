"""What the number of a step decides, beside its crops: rates, and what is drawn for quantiser and codebooks.

Knows: the settings. Does not know: a step's arithmetic, devices; all numbers are the host's.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

from ...nn import ResidualVectorQuantize
from ..codebooks import drawn_frames
from ..config import TrainConfig


def rate_factor(config: TrainConfig, step: int) -> float:
    """The factor on the learning rates in a step."""
    since = step if step < config.plain_steps else step - config.plain_steps
    warm = min(1.0, (since + 1) / max(1, config.warmup))
    start = config.decay_from * config.steps
    done = min(1.0, max(0.0, (step - start) / max(1.0, config.steps - start)))
    return warm * (config.lr_final + (1 - config.lr_final) * 0.5 * (1 + math.cos(math.pi * done)))


def average_decay(config: TrainConfig, step: int) -> float:
    """The decay of the average in a step. At first it covers only a few steps, so the decay grows to its value."""
    since = step if step < config.plain_steps else step - config.plain_steps
    return min(config.ema, (since + 1) / (since + 10))


def used_levels(config: TrainConfig, quantizer: ResidualVectorQuantize, step: int, shard: int) -> Tensor:
    """The levels that each row of a shard uses: int64 ``[batch / shards]``."""
    plain = _in_64_bits((config.seed * 1_000_003 + step) * 64 + shard)
    # Beyond 64 shards that number is another step's, too. Of a seed torch's generator uses the last 32 bits.
    seed = plain if shard < 64 else int.from_bytes(hashlib.sha256(f"{plain} {shard}".encode()).digest()[:8], "little")
    generator = torch.Generator().manual_seed(seed)
    return quantizer.drawn_levels(config.batch // config.shards, generator)


def used_by_rows(config: TrainConfig, quantizer: ResidualVectorQuantize, step: int, rows: slice) -> Tensor:
    """The levels that some rows of the whole batch use: int64 ``[rows]``."""
    return torch.cat([used_levels(config, quantizer, step, shard) for shard in range(config.shards)])[rows]


def chosen_frames(config: TrainConfig, step: int) -> Tensor:
    """The frames of the batch that may replace dead entries: int64 ``[n_codebooks · codebook_size]``."""
    count = config.codec.n_codebooks * config.codec.codebook_size
    return drawn_frames(count, config.batch * config.frames, _in_64_bits(config.seed * 1_000_003 + step))


def _in_64_bits(seed: int) -> int:
    """The seed that torch can take, of any whole number from 0 on."""
    return seed % (1 << 64)
