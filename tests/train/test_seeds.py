"""Every seed that a configuration takes decides every random choice of a run.

Knows: who draws from the seed. Does not know: what is made of it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.errors import ConfigError
from streamrvq.nn import CodecModel
from streamrvq.train.codebooks import drawn_frames
from streamrvq.train.config import TrainConfig
from streamrvq.train.corpus import Clip, Corpus
from streamrvq.train.data import Crops
from streamrvq.train.steps.schedule import chosen_frames, used_by_rows
from tests.support.training.runs import CODEC

MOST = 2**53  #: also of steps
QUANTIZER = CodecModel(CODEC).quantizer
CORPUS = Corpus(
    (Clip("a", "", 0, 4000),), (3000 * np.random.default_rng(0).standard_normal(4000)).astype(np.int16), 44100
)


@given(seed=st.integers(0, MOST), step=st.integers(0, MOST))
@example(seed=20261128122000, step=0)
@example(seed=MOST, step=MOST)
def test_every_seed_draws(seed: int, step: int) -> None:
    config = TrainConfig(codec=CODEC, seed=seed, batch=4, frames=70)
    torch.manual_seed(seed)
    assert used_by_rows(config, QUANTIZER, step, slice(1, 3)).shape == (2,)
    chosen = chosen_frames(config, step)
    assert chosen.shape == (CODEC.n_codebooks * CODEC.codebook_size,)
    assert 0 <= int(chosen.min()) <= int(chosen.max()) < 280
    crops = Crops(CORPUS, config.samples, 4, seed, {}, config.augment)
    assert np.isfinite(crops.plan(step).gain).all()


@given(seed=st.integers(0, 2**37), step=st.integers(0, 2**40), shard=st.integers(0, 63))
def test_seeds_that_torch_takes_as_they_are_draw_what_they_did(seed: int, step: int, shard: int) -> None:
    config = TrainConfig(codec=CODEC, seed=seed, batch=128, shards=64, frames=70)
    plain = seed * 1_000_003 + step
    wanted = QUANTIZER.drawn_levels(2, torch.Generator().manual_seed(plain * 64 + shard))
    assert torch.equal(used_by_rows(config, QUANTIZER, step, slice(2 * shard, 2 * shard + 2)), wanted)
    count = CODEC.n_codebooks * CODEC.codebook_size
    assert torch.equal(chosen_frames(config, step), drawn_frames(count, 128 * 70, plain))


def test_shards_of_a_step_draw_what_no_other_step_draws() -> None:
    config = TrainConfig(codec=CODEC, batch=80 * 130, shards=130, frames=70)
    drawn = [tuple(part.tolist()) for step in range(3)
             for part in used_by_rows(config, QUANTIZER, step, slice(None)).chunk(130)]  # fmt: skip
    assert len(set(drawn)) == len(drawn)


def test_seeds_that_differ_draw_differently() -> None:
    """Beyond what torch takes, too. Of a seed its generator uses the last 32 bits."""
    seeds = [0, 1, 20261128122000, 20261128122001, 20270101000000, MOST - 3, MOST - 2]
    drawn = {tuple(chosen_frames(TrainConfig(codec=CODEC, seed=seed), 0).tolist()) for seed in seeds}
    assert len(drawn) == len(seeds)


@pytest.mark.parametrize("seed", [-1, MOST + 1, 0.5, True, None, "1"])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(ConfigError, match="seed is"):
        dataclasses.replace(TrainConfig(codec=CODEC), seed=seed)  # type: ignore[arg-type]
