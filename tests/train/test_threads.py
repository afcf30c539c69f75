"""A run gives the same bits on any number of cores.

Knows: torch's number of threads. Does not know: what is computed on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from streamrvq.train.corpus import load
from streamrvq.train.data import Crops
from streamrvq.train.loop import Trainer
from tests.support.contract import minute
from tests.support.training.runs import audio_in, config_of

#: Of tensors this large, torch divides a sum among its threads.
CODEC = minute((4, 4), causal=True, stem=4, encoder_dim=32, decoder_dim=128, latent_dim=64, codebook_dim=8)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value.clone()]
    if isinstance(value, (dict, list, tuple)):
        return [t for each in (value.values() if isinstance(value, dict) else value) for t in tensors(each)]
    return []


@pytest.mark.usefixtures("threads")
def test_first_values_codebooks_and_steps_have_the_same_bits_on_one_thread_and_on_two(tmp_path: Path) -> None:
    audio = audio_in(tmp_path)
    config = config_of(audio, codec=CODEC, plain_steps=0, codebook_frames=8192, frames=128, clip=1e-3,
                       adversarial_from=0, discriminator_width=4)  # fmt: skip
    corpus = load(config.train, CODEC.sample_rate, audio / "cache")
    crops = Crops(corpus, config.samples, config.batch, config.seed, config.kinds, config.augment)
    found: list[list[list[torch.Tensor]]] = []
    for count in (1, 2):
        trainer = Trainer(config, crops)
        torch.set_num_threads(count)
        trainer.begin()
        first = tensors(trainer.state())
        for batch in trainer.crops.batches(0, 2):
            trainer.train_step(batch)
        assert torch.get_num_threads() == count
        found.append([first, tensors(trainer.state())])
    for one, two in zip(*found, strict=True):
        assert len(one) > 50
        assert [torch.equal(a, b) for a, b in zip(one, two, strict=True)] == [True] * len(one)
