"""A run's inputs: corpora, batches that depend on their number alone, validation excerpts, configurations."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.config import PRESETS, CodecConfig
from streamrvq.errors import ConfigError, InputError
from streamrvq.nn import CodecModel
from streamrvq.train import TrainConfig
from streamrvq.train.config import Augment
from streamrvq.train.corpus import Clip, Corpus, load
from streamrvq.train.data import Crops
from streamrvq.train.losses import Losses
from streamrvq.train.validation import excerpts, validate
from tests.support.contract import minute
from tests.support.paths import ROOT


def model_of(seed: int = 0, **changes: Any) -> CodecModel:
    torch.manual_seed(seed)
    return CodecModel(minute((2, 4), **({"encoder_dim": 4, "decoder_dim": 16, "stem": 4} | changes)))


def write(path: Path, seconds: float, rate: int = 44100, level: float = 0.1, channels: int = 1) -> None:
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, level * rng.standard_normal((int(seconds * rate), channels)), rate)


def test_a_corpus_is_decoded_once(tmp_path: Path) -> None:
    audio = tmp_path / "audio" / "train"
    audio.mkdir(parents=True)
    write(audio / "a.flac", 0.5)
    write(audio / "bb.wav", 0.25, 22050, channels=2)
    (audio.parent / "manifest.csv").write_text("path,kind\ntrain/a.flac,speech\n")
    decoded: list[str] = []
    corpora = [
        load([str(audio)], 44100, tmp_path / "cache", on_decoded=lambda name, _: decoded.append(name)) for _ in range(2)
    ]
    assert decoded == ["a.flac", "bb.wav"]
    for corpus in corpora:
        assert [clip.kind for clip in corpus.clips] == ["speech", ""]
        assert corpus.samples.dtype == np.int16
        assert isinstance(corpus.samples, np.memmap)
        np.testing.assert_allclose(corpus.seconds, 0.75, atol=0.01)
    pcm, _ = soundfile.read(audio / "a.flac", dtype="float32")
    clip = corpora[0].clips[0]
    np.testing.assert_array_equal(corpora[0].read(clip, 100, 50), pcm[100:150])
    np.testing.assert_array_equal(corpora[0].read(clip, -3, 5)[:3], 0)
    np.testing.assert_array_equal(corpora[0].read(clip, clip.length - 1, 3)[1:], 0)
    for missing, message in ((str(tmp_path / "no"), "is not there"), (str(tmp_path / "cache"), "holds no audio")):
        with pytest.raises(InputError, match=message):
            load([missing], 44100, tmp_path / "cache")


def test_a_weight_in_the_manifest_is_how_often_a_file_is_drawn(tmp_path: Path) -> None:
    for name, level in (("quiet", 0.01), ("loud", 0.3)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(4000, level), 44100)
    plain = Augment(gain_db=(0, 0), polarity=0, tilt=0, mix=0)

    def share_of_loud() -> float:
        corpus = load([str(tmp_path)], 44100, tmp_path / "cache")
        crops = Crops(corpus, 256, 400, 1, {}, plain)
        return float((np.abs(crops.batch(0)).max(axis=1) > 0.1).mean())

    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path\nloud.wav\nquiet.wav\n")
    assert 0.4 < share_of_loud() < 0.6
    manifest.write_text("path,weight\nloud.wav,9\nquiet.wav,\n")
    assert 0.84 < share_of_loud() < 0.96  # without decoding again: the cache knows no weights
    assert len(list((tmp_path / "cache").glob("*.i16"))) == 1
    for wrong in ("0", "-1", "nan", "much", "1e7"):
        manifest.write_text(f"path,weight\nloud.wav,{wrong}\n")
        with pytest.raises(InputError, match=r"gives loud\.wav the weight"):
            load([str(tmp_path)], 44100, tmp_path / "cache")


def test_batches_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 1.0)
    write(tmp_path / "bb.wav", 0.02)  # shorter than a crop
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")

    def crops(seed: int = 3, augment: Augment = Augment(mix=0.5, tilt=0.5)) -> Crops:  # noqa: B008
        return Crops(corpus, 2048, 4, seed, {}, augment)

    in_order = list(crops().batches(5, 9))
    assert len(in_order) == 4
    for i, batch in enumerate(in_order):
        assert batch.shape == (4, 2048)
        assert batch.dtype == np.float32
        assert np.abs(batch).max() <= 1
        np.testing.assert_array_equal(batch, crops().batch(5 + i))
    assert not np.array_equal(crops(4).batch(5), in_order[0])
    loud = Augment(gain_db=(60, 60), tilt=0, mix=0)
    np.testing.assert_allclose(np.abs(crops(augment=loud).batch(0)).max(1), 0.99, rtol=1e-5)
    endless = crops().batches(0, 10**9)
    next(endless)
    endless.close()  # ends the thread


def test_kinds_are_drawn_by_their_shares(tmp_path: Path) -> None:
    for i, level in enumerate((0.5, 0.001)):
        write(tmp_path / f"{'x' * (i + 1)}.wav", 0.2 + 0.8 * i, level=level)
    (tmp_path / "manifest.csv").write_text("file,kind\nx.wav,loud\nxx.wav,quiet\n")
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")
    plain = Augment(gain_db=(0, 0), tilt=0, mix=0)
    crops = Crops(corpus, 1024, 200, 0, {"loud": 3.0, "quiet": 1.0}, plain)
    share = float((np.abs(crops.batch(0)).max(1) > 0.1).mean())
    assert 0.65 < share < 0.85


def test_validation_takes_the_same_excerpts_of_every_kind(tmp_path: Path) -> None:
    for i in range(6):
        write(tmp_path / f"{'x' * (i + 1)}.wav", 0.1)
    rows = "".join(f"{'x' * (i + 1)}.wav,{'a' if i < 5 else 'b'}\n" for i in range(6))
    (tmp_path / "manifest.csv").write_text("file,kind\n" + rows)
    corpus = load([str(tmp_path)], 44100, tmp_path / "cache")
    clips = excerpts(corpus, 4, 0.05, 32)
    assert len(clips) == 3  # two of a, the only b
    assert [clip.shape[1] for clip in clips] == [2205 // 32 * 32] * 3
    assert [torch.equal(a, b) for a, b in zip(clips, excerpts(corpus, 4, 0.05, 32), strict=True)] == [True] * 3
    figures = validate(model_of(causal=True), clips, Losses(44100, (2048,)))
    assert len(figures["used"]) == len(figures["entropy"]) == 3
    assert [used for used in figures["used"] if not 0 < used <= 1] == []
    assert figures["mel"] > 0
    assert json.dumps(figures)


@given(counts=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), min_size=1), count=st.integers(1, 40))
@example(counts={"a": 4, "b": 4, "c": 4}, count=24)
def test_no_excerpt_is_taken_twice(counts: dict[str, int], count: int) -> None:
    """Each clip's samples are its number. 2000 samples are longer than the shortest excerpt of hops of 32."""
    kinds = [kind for i in range(max(counts.values())) for kind in sorted(counts) if i < counts[kind]]
    clips = tuple(Clip(f"{i}.wav", kind, 2000 * i, 2000) for i, kind in enumerate(kinds))
    corpus = Corpus(clips, np.repeat(np.arange(len(clips), dtype=np.int16), 2000), 44100)
    taken = [round(float(excerpt[0, 0]) * 32768) for excerpt in excerpts(corpus, count, 0.03, 32)]
    assert len(set(taken)) == len(taken) <= count
    for n, kind in enumerate(sorted(counts)):
        share = count // len(counts) + (n < count % len(counts))
        mine = [i for i, other in enumerate(kinds) if other == kind]
        places = [mine.index(i) for i in taken if kinds[i] == kind]
        if len(mine) <= share:
            assert places == list(range(len(mine)))
        else:  # the middle of each of as many equal parts, as runs have always taken them
            assert places == [math.floor((j + 0.5) * len(mine) / share) for j in range(share)]


def test_a_configuration_is_read_checked_and_written(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('train = ["audio"]\nbatch = 2\n[codec]\nstem = 2\ncausal = true\n[loss]\nmel = 3.0\n')
    config = TrainConfig.read(path)
    assert config.train == (str(tmp_path / "audio"),)
    assert config.loss.mel == 3
    assert config.codec.stem == 2
    assert TrainConfig.from_dict(config.to_dict()) == config
    for text, message in (
        ("batch = 2", "no codec"), ("[codec]\nx = 1", "'x'"), ("bach = 2\n[codec]", "'bach'"), ("a =", "parsed"),
        ("batch = 0\n[codec]", "batch is 0"), ("[codec]\n[loss]\nmal = 1", "'mal'"),
        ('precision = "half"\n[codec]', "precision is 'half'"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            TrainConfig.read(path)
    with pytest.raises(ConfigError, match="cannot read"):
        TrainConfig.read(tmp_path / "none.toml")


def test_the_packaged_configuration_keeps_the_budget() -> None:
    from streamrvq.families import decoder_plan, encoder_plan, tensor_shapes

    path = ROOT / "streamrvq/train/configs/causal-44khz.toml"
    codec: CodecConfig = TrainConfig.read(path).codec
    assert codec == PRESETS["causal-44khz"]
    assert (codec.hop_length, codec.sample_rate, codec.causal) == (512, 44100, True)
    assert (codec.n_codebooks, codec.codebook_size, codec.codebook_dim) == (9, 1024, 8)
    gflop = [2 * plan(codec).macs * 44100 / 512 / 1e9 for plan in (encoder_plan, decoder_plan)]
    parameters = sum(math.prod(shape) for shape in tensor_shapes(codec).values())
    assert gflop[0] <= 16, (gflop, parameters)
    assert gflop[1] <= 20, (gflop, parameters)
    assert parameters <= 12e6, (gflop, parameters)
