"""On a GPU: steps are captured as a graph, and their figures are those of a CPU. Passed over where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.device.graphs import WARM_UP
from streamrvq.train.loop import Trainer
from tests.support.training.runs import audio_in, config_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@pytest.mark.parametrize(
    "changes", [{}, {"adversarial_from": 2, "discriminator_width": 2}], ids=["plain", "adversarial"]
)
def test_captured_steps_have_the_figures_of_a_cpu(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = config_of(audio_in(tmp_path), plain_steps=0, warmup=3000, log_every=1, steps=99, **changes)
    corpus = load(config.train, config.codec.sample_rate, tmp_path / "cache")
    crops = Crops(corpus, config.samples, config.batch, config.seed, config.kinds, config.augment)
    said: list[str] = []
    host, card = Trainer(config, crops), Trainer(config, crops, "cuda", remark=said.append)
    count = 2 * WARM_UP + 4
    for mine, theirs in zip(host.batches(0, count), card.batches(0, count), strict=True):
        ours, others = host.train_step(mine), card.train_step(theirs)
        assert ours.keys() == others.keys()
        np.testing.assert_allclose(list(others.values()), list(ours.values()), rtol=2e-2)
    assert said == []
    assert card.runner is not None
    assert card.runner.is_settled
    assert card.is_finite
