"""Hostile files of a training run: settings, manifests, the index of decoded audio, checkpoints."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import AudioFileError, ConfigError, InputError
from streamrvq.train.config import Augment, TrainConfig
from streamrvq.train.corpus import Clip, Corpus, find, load
from streamrvq.train.data import Crops
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tests.support.fuzzing.torch_files import VALUES, broken_torch_file, saved
from tools.fuzzing.registry import targets
from tools.fuzzing.target import written

NAMES = ("training-toml", "training-json", "training-manifest", "training-index", "checkpoint")
RIGHT = {name: targets()[name].seeds()[0] for name in NAMES}
SETTINGS = json.loads(RIGHT["training-json"])


@given(data=broken_json(SETTINGS))
def test_json_settings_with_one_thing_broken(data: bytes) -> None:
    assert_survives("training-json", data)


@given(data=one_change(RIGHT["training-toml"]))
def test_toml_settings_with_one_thing_broken(data: bytes) -> None:
    assert_survives("training-toml", data)


@given(name=st.sampled_from(sorted(SETTINGS)), value=st.sampled_from(VALUES))
def test_any_setting_from_python_is_taken_or_refused_in_one_line(name: str, value: object) -> None:
    try:
        TrainConfig.from_dict({**SETTINGS, name: value()})  # type: ignore[operator]
    except ConfigError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"batch": 10**9}, "batch is 1000000000; wanted a whole number of at most 65536"),
     ({"discriminator_width": 10**9}, "discriminator_width is 1000000000"), ({"lr": "x"}, "lr is 'x'"),
     ({"batch": 65536, "frames": 65536}, "wanted at most 268435456"), ({"train": "audio"}, "train is 'audio'"),
     ({"kinds": {"a": -1}}, "kinds is"), ({"adversarial_from": "x"}, "adversarial_from is 'x'"),
     ({"name": "../codec"}, "name is '../codec'"), ({"name": []}, r"name is \(\)"), ({"name": ""}, "name is ''"),
     ({"betas": [0.5, 1.0]}, "betas is"), ({"betas": [2, 0]}, "betas is"), ({"ema": 1.5}, "ema is 1.5; wanted 0 to 1"),
     ({"codebook_frames": 0}, "codebook_frames is 0"), ({"clip": 0}, "clip 0"), ({"ns_steps": 0}, "ns_steps is 0"),
     ({"validation_seconds": -1}, "validation_seconds -1"), ({"betas": [0.5]}, "betas is"),
     ({"augment": {"mix": None}}, "mix is None")],
)  # fmt: skip
def test_a_setting_beyond_its_limit_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig.from_dict({**SETTINGS, **change})


@pytest.mark.parametrize(
    "text", ["a." * 20_000 + "b = 1", "x = {" + "a." * 20_000 + "b = 1}", "[" + "a." * 20_000 + "b]"]
)
def test_a_key_of_many_parts_is_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError, match="line 1 has more than 64 dots"):
        TrainConfig.read(written("run.toml", text.encode()))


@given(data=one_change(RIGHT["training-manifest"]) | st.sampled_from(
    [b"file\n\0\n", b"file\n\xff\n", b"file,kind\n", b"file,kind\na,b,c,d\n", b"kind,file\nx\n",
     b'file\n"' + b"x" * 200_000,
     "file\n\udc80.wav\n".encode("utf-8", "surrogatepass"), b"\xef\xbb\xbffile\nx\n", b"x\ny\n", b"file\n\n,\n"]
))  # fmt: skip
def test_a_manifest_with_one_thing_broken(data: bytes) -> None:
    assert_survives("training-manifest", data)


def test_a_manifest_line_without_a_name_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "manifest.csv").write_text("kind,file\nspeech\n")
    with pytest.raises(InputError, match=r"line 2 of .* names no file"):
        find([str(path)])


def test_a_manifest_of_zeros_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    with open(tmp_path / "manifest.csv", "wb") as file:
        file.write(b"file\n")
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="a line of more than"):
        find([str(tmp_path / "manifest.csv")])


def test_a_file_with_samples_that_are_no_numbers_is_named(tmp_path: Path) -> None:
    pcm = np.zeros(100, np.float32)
    pcm[70] = np.nan
    soundfile.write(tmp_path / "x.wav", pcm, 16000, subtype="FLOAT")
    for rate in (16000, 8000):
        with pytest.raises(AudioFileError, match=r"x\.wav: sample 70 is nan"):
            load([str(tmp_path)], rate, tmp_path / "cache")


def test_a_part_of_a_file_is_no_remedy_here(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", np.random.default_rng(0).uniform(-0.1, 0.1, 44100), 44100)
    whole = (tmp_path / "x.flac").read_bytes()
    (tmp_path / "x.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioFileError, match=r"x\.flac is damaged .*; wanted the whole file: copy it again$"):
        load([str(tmp_path)], 44100, tmp_path / "cache")


def test_files_without_a_sample_are_named(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.zeros(0), 16000)
        more = " and 1 more" * (name == "b.wav")
        with pytest.raises(AudioFileError, match=rf"^without a sample: .*a\.wav{more}; wanted audio to train on or v"):
            load([str(tmp_path)], 16000, tmp_path / "cache")


def test_a_long_kind_takes_no_room_for_each_clip() -> None:
    clips = tuple(Clip(f"{number}.wav", "k" * (100_000 * (not number)), number, 1) for number in range(20_000))
    corpus = Corpus(clips, np.zeros(20_000, np.int16), 16000)
    tracemalloc.start()
    Crops(corpus, 100, 1, 0, {"k" * 100_000: 0.5, "x": 0.5}, Augment())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


def test_a_manifest_whose_file_is_gone_says_so(tmp_path: Path) -> None:
    (path := tmp_path / "manifest.csv").write_text("file\ngone.wav\n")
    with pytest.raises(AudioFileError, match=r"cannot open .*gone\.wav"):
        load([str(path)], 16000, tmp_path)


@given(data=one_change(RIGHT["training-index"]) | broken_json({"a": json.loads(RIGHT["training-index"])}))
def test_an_index_with_one_thing_broken(data: bytes) -> None:
    assert_survives("training-index", data)


@given(start=st.sampled_from([-1, 0, 999, 1000, 2**62, 10**400, None, "x", 0.5, True]),
       length=st.sampled_from([-1, 0, 1, 1000, 2**62, 10**400, None, "x", 0.5, True]))  # fmt: skip
def test_a_clip_outside_of_the_samples(start: object, length: object) -> None:
    assert_survives("training-index", json.dumps([["a.wav", "", start, length]]).encode())


@given(data=broken_torch_file(RIGHT["checkpoint"]))
def test_a_checkpoint_with_one_thing_broken(data: bytes) -> None:
    assert_survives("checkpoint", data)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("key", ["streamrvq_training", "step", "model", "optimizer", "followers"])
def test_a_checkpoint_with_another_value(key: str, value: object) -> None:
    import io

    import torch

    state = torch.load(io.BytesIO(RIGHT["checkpoint"]), weights_only=True)
    assert_survives("checkpoint", saved({**state, key: value()}))  # type: ignore[operator]
