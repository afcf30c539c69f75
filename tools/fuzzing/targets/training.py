"""What a training run reads: settings, manifests of audio, the index of decoded audio, checkpoints."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from streamrvq.train import checkpoint
from streamrvq.train.config import TrainConfig
from streamrvq.train.corpus import Corpus, cached, find
from streamrvq.train.data import Crops
from streamrvq.train.loop import Trainer

from ..small import CONFIG
from ..target import Target, scratch, written

_TOML = b"""name = "small"
train = ["audio"]
batch = 2
frames = 256
lr = 3e-3
codebooks_again = [0.1]
[codec]
encoder_dim = 2
encoder_rates = [4]
decoder_dim = 4
decoder_rates = [4]
stem = 2
causal = true
[loss]
mel = 1.0
[augment]
gain_db = [-18.0, 4.0]
[kinds]
speech = 0.4
"""


def _settings(name: str, data: bytes) -> None:
    config = TrainConfig.read(written(name, data))
    assert TrainConfig.from_dict(config.to_dict()) == config


def _json_seeds() -> list[bytes]:
    return [json.dumps(TrainConfig.read(written("seed.toml", _TOML)).to_dict()).encode()]


def _manifest(data: bytes) -> None:
    find([str(written("manifest.csv", data))])


@lru_cache(maxsize=1)
def _samples() -> Path:
    path = scratch("corpus.i16")
    np.arange(1000, dtype=np.int16).tofile(path)
    return path


def _index(data: bytes) -> None:
    clips, samples = cached(_samples(), written("corpus.json", data))
    corpus = Corpus(clips, samples, 16000)
    for clip in clips[:4]:
        corpus.read(clip, 0, 100)


@lru_cache(maxsize=1)
def _trainer() -> Trainer:
    torch.manual_seed(0)
    config = TrainConfig(codec=CONFIG, batch=1, shards=1, frames=256, precision="float32")
    clips, samples = cached(_samples(), written("right.json", _INDEX))
    crops = Crops(Corpus(clips, samples, 16000), config.samples, 1, 0, {}, config.augment)
    return Trainer(config, crops)


_INDEX = b'[["a.wav", "speech", 0, 400], ["b.wav", "", 400, 600]]'


def _checkpoint(data: bytes) -> None:
    _trainer().load(checkpoint.read(written("checkpoint.pt", data)))


def _checkpoint_seeds() -> list[bytes]:
    path = scratch("seed.pt")
    checkpoint.save(path, _trainer().state() | {"audio_seconds": 1.0, "train_time": 2.0})
    return [path.read_bytes()]


TARGETS = (
    Target("training-toml", "a training run's settings: TOML", lambda data: _settings("run.toml", data),
           lambda: [_TOML]),
    Target("training-json", "a training run's settings: JSON", lambda data: _settings("run.json", data), _json_seeds),
    Target("training-manifest", "a manifest of audio: CSV", _manifest, lambda: [b"file,kind\na.wav,speech\nb.wav,\n"]),
    Target("training-index", "the index of decoded audio: JSON", _index, lambda: [_INDEX]),
    Target("checkpoint", "a training run's checkpoint", _checkpoint, _checkpoint_seeds),
)  # fmt: skip
