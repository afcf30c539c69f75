"""`encode -o x.dac` and `decode x.dac`: the samples that descript's package would give."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import soundfile

from streamrvq.codec import Codec
from streamrvq.tokens import read_dac, write_dac
from tests.support.command import Run
from tests.support.contract import noise


def test_there_and_back(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    pcm = noise(30000, 3, 0.05)[:30000]
    soundfile.write(tmp_path / "a.wav", pcm, 44100, subtype="FLOAT")
    done = run("encode", tmp_path / "a.wav", "-o", tmp_path / "a.dac", "--codec", weights)
    assert done.code == 0
    file = read_dac(tmp_path / "a.dac")
    assert (file.codes[0] == codec.encode(pcm)).mean() > 0.99
    assert (file.original_length, file.sample_rate, file.padding) == (30000, 44100, True)
    assert -45 < file.input_db < -10
    decode = ["decode", tmp_path / "a.dac", "-o", tmp_path / "b.wav", "--format", "f32le"]
    assert run(*decode, "--codec", weights).code == 0
    back, rate = soundfile.read(tmp_path / "b.wav", dtype="float32")
    assert (rate, len(back)) == (44100, 30000)
    plain = codec.decode(file.codes[0])[:30000]
    gain = np.dot(back, plain) / np.dot(plain, plain)
    np.testing.assert_allclose(back, gain * plain, atol=1e-5)  # it has the loudness of the original
    assert "does not say which codec made it" in run(*decode).sentence
    assert "leave --tail valid out" in run("encode", tmp_path / "a.wav", "-o", tmp_path / "c.dac", "--codec", weights,
                                           "--tail", "valid").sentence  # fmt: skip


def test_info_of_one(run: Run, tmp_path: Path, weights: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3000, 3, 0.05)[:3000], 44100)
    assert run("encode", tmp_path / "a.wav", "-o", tmp_path / "a.dac", "--codec", weights).code == 0
    facts = run("info", tmp_path / "a.dac", "--json").document
    assert (facts["kind"], facts["num_samples"], facts["source_rate"], facts["channels"]) == ("dac", 3000, 44100, 1)
    assert "3000 samples at 44100 Hz" in run("info", tmp_path / "a.dac").out


def test_one_of_several_channels_is_decoded(run: Run, tmp_path: Path, weights: Path) -> None:
    whole, both, out = tmp_path / "x.dac", tmp_path / "both.dac", tmp_path / "x.wav"
    soundfile.write(tmp_path / "x.wav", noise(3000), 44100, subtype="FLOAT")
    assert run("encode", tmp_path / "x.wav", "-o", whole, "--codec", weights).code == 0
    assert run("decode", whole, "-o", out, "--codec", weights).code == 0
    one, file = out.read_bytes(), read_dac(whole)
    write_dac(both, dataclasses.replace(file, codes=np.concatenate([file.codes[:, :, ::-1], file.codes])))
    assert "has 2 channels; choose one with --channel N" in run("decode", both, "-o", out, "--codec", weights).sentence
    assert "wanted channel 2, from 0" in run("decode", both, "-o", out, "--channel", 2).sentence
    assert run("decode", both, "-o", out, "--codec", weights, "--channel", 0).code == 0
    assert out.read_bytes() != one
    assert run("decode", both, "-o", out, "--codec", weights, "--channel", 1).code == 0
    assert out.read_bytes() == one
