"""Codecs whose decoder gives fewer samples than went in: symmetric ones with odd strides, such as dac-24khz.

Knows: training and validation of such codecs. Does not know: how many samples others give.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from streamrvq import PRESETS
from streamrvq.errors import ConfigError
from streamrvq.nn import CodecModel
from streamrvq.train import TrainConfig
from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.loop import Trainer
from streamrvq.train.losses import Losses
from streamrvq.train.run import Run
from streamrvq.train.validation import missing, shortest, validate
from tests.support.contract import minute
from tests.support.training.runs import Silent, audio_in, config_of

CODEC = minute((4, 5), stem=4, encoder_dim=4, decoder_dim=16)
CHANGES = {"codec": CODEC, "frames": 64, "steps": 5, "adversarial_from": 2, "discriminator_width": 1}


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audio_in(tmp_path_factory.mktemp("audio"))


def test_such_a_codec_trains_validates_and_exports(audio: Path, tmp_path: Path) -> None:
    observer = Silent()
    with Run(config_of(audio, **CHANGES), tmp_path / "run", observer, cache=audio / "cache") as run:
        assert run.go()
        assert run.export()["rounded"]["mel"] > 0
    assert {"mel", "adversarial", "feature"} <= observer.steps[-1].keys()
    assert observer.validations[-1]["mel"] > 0


def test_its_step_on_a_card_is_the_hosts(audio: Path) -> None:
    config = config_of(audio, **CHANGES | {"plain_steps": 0, "warmup": 3000, "log_every": 1, "adversarial_from": 0})
    corpus = load(config.train, config.codec.sample_rate, audio / "cache")
    crops = Crops(corpus, config.samples, config.batch, config.seed, config.kinds, config.augment)
    found = []
    for trainer in (Trainer(config, crops), Trainer(config, crops, waits=False)):
        batches = trainer.batches(0, 2)
        found.append([trainer.train_step(batch) for batch in batches])
        batches.close()
    assert [figures for figures in found[1]] == [pytest.approx(figures, rel=2e-3) for figures in found[0]]


@pytest.mark.parametrize(
    ("name", "samples"), [("dac-24khz", 8), ("dac-16khz", 8), ("dac-44khz", 0), ("causal-44khz", 0)]
)
def test_how_many_samples_a_codec_lacks(name: str, samples: int) -> None:
    assert missing(PRESETS[name]) == samples


def test_what_is_left_of_the_shortest_crop_and_excerpt_is_enough_for_the_losses() -> None:
    codec = minute((5,), stem=1)
    with pytest.raises(ConfigError, match="a crop of 205 frames has 1024 samples; wanted over 1024: raise frames"):
        TrainConfig(codec=codec, frames=205)
    assert TrainConfig(codec=codec, frames=206).samples == shortest(5, missing(codec)) == 1030
    torch.manual_seed(0)
    model, losses = CodecModel(codec), Losses(codec.sample_rate, (512,))
    assert validate(model, [0.1 * torch.randn(1, 1030)], losses)["mel"] > 0
    even = dataclasses.replace(CODEC, encoder_rates=(4, 4), decoder_rates=(4, 4))
    assert shortest(16, missing(even)) == shortest(16) == 1040
