"""`decode` into files of many formats, from shards, and of a span; what it refuses before it computes."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq.audio.writing import FORMATS
from streamrvq.codec import Codec
from streamrvq.weights import load_weights
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.corpora import make_audio


@pytest.fixture
def tokens(run: Run, wav: Path, weights: Path) -> Path:
    run("encode", wav, "--codec", weights)
    return wav.with_suffix(".safetensors")


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_name_says_the_format(run: Run, tmp_path: Path, tokens: Path, weights: Path, suffix: str) -> None:
    done = run("decode", tokens, "--codec", weights, "-o", tmp_path / f"x{suffix}", "--json")
    assert done.code == 0, done.err
    rate = FORMATS[suffix].rate_for(44100)
    assert done.document["audio_rate"] == rate
    assert done.document["samples"] == round(0.1 * rate)
    head = (tmp_path / f"x{suffix}").read_bytes()[:64]
    magic = {".mp3": b"\xff", ".flac": b"fLaC", ".ogg": b"OggS", ".opus": b"OggS", ".m4a": b"ftyp", ".wav": b"RIFF"}
    assert magic.get(suffix, b"") in head


@pytest.fixture
def nothing_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> Codec:
        raise AssertionError("a codec was loaded")

    monkeypatch.setattr("streamrvq.cli.decode.load", load)


@pytest.mark.usefixtures("nothing_computed")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.xyz"], "wanted a name that ends in one of .wav .flac .ogg"),
        (["-o", "FOLDER/no/x.wav"], "cannot write"),
        (["-o", "FOLDER"], "has no suffix"),
        (["-o", "FOLDER/" + "x" * 260 + ".wav"], "File name too long"),
        (["-o", "FOLDER/x.opus", "--rate", "44.1k"], "x.opus cannot have 44100 Hz"),
        (["-o", "FOLDER/x.flac", "--format", "f32le"], "cannot hold float32"),
        (["-o", "FOLDER/x.wav", "--from", "1"], "--from is 1; "),
        (["-o", "FOLDER/x.wav", "--path", "a.wav"], "is one signal"),
        (["-o", "FOLDER/x.wav", "--rate", "48q"], "--rate is '48q'; wanted a sample rate in Hz"),
        (["-o", "-", "--json"], "choose one"),
        ([], "no output was named; give -o noise.decoded.wav"),
    ],
)
def test_refused_before_a_codec_is_loaded(
    run: Run, tmp_path: Path, tokens: Path, arguments: list[str], words: str
) -> None:
    before = sorted(tmp_path.iterdir())
    assert words in run("decode", tokens, *[a.replace("FOLDER", str(tmp_path)) for a in arguments]).sentence
    assert sorted(tmp_path.iterdir()) == before


def test_rates_as_people_write_them(run: Run, tmp_path: Path, tokens: Path, weights: Path) -> None:
    for text, rate in (("48k", 48000), ("44.1k", 44100), ("22.05 kHz", 22050), ("8000Hz", 8000), ("16000", 16000)):
        done = run("decode", tokens, "--codec", weights, "-o", tmp_path / "x.wav", "--rate", text, "--json")
        assert done.document["audio_rate"] == soundfile.info(tmp_path / "x.wav").samplerate == rate


def test_a_span_of_a_token_file(run: Run, tmp_path: Path, tokens: Path, weights: Path) -> None:
    common = ("decode", tokens, "--codec", weights, "--format", "f32le")
    assert run(*common, "-o", tmp_path / "all.wav").code == 0
    assert run(*common, "-o", tmp_path / "some.wav", "--from", 0.02, "--to", 0.05).code == 0
    pcm, _ = soundfile.read(tmp_path / "all.wav", dtype="float32")
    some, _ = soundfile.read(tmp_path / "some.wav", dtype="float32")
    np.testing.assert_array_equal(some, pcm[882:2205])


def test_a_signal_of_shards(run: Run, tmp_path: Path, weights: Path) -> None:
    make_audio(tmp_path / "in")
    run("encode", tmp_path / "in", "--shards", tmp_path / "out", "--codec", weights, "--workers", 1)
    run("encode", tmp_path / "in" / "b.flac", "-o", tmp_path / "b.safetensors", "--codec", weights)
    common = ("--codec", weights, "--format", "f32le", "--from", "0.05", "--to", "0.15")
    done = run("decode", tmp_path / "out", "--path", "b.flac", *common, "-o", tmp_path / "x.wav", "--json")
    assert done.document["path"] == str(tmp_path / "in" / "b.flac")
    assert done.document["samples"] == 4410
    run("decode", tmp_path / "b.safetensors", *common, "-o", tmp_path / "y.wav")
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()
    assert "say which with --path" in run("decode", tmp_path / "out", "-o", tmp_path / "z.wav").sentence
    (shard,) = (tmp_path / "out").glob("*.parquet")
    assert run("decode", shard, "--path", "b.flac", *common, "-o", tmp_path / "z.wav").code == 0
    sentence = run("decode", tmp_path / "out", "--path", "b.flac", "-o", tmp_path / "z.wav").sentence
    assert "give it with --codec" in sentence  # shards do not choose what is opened either


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_lines_on_stdin_to_a_file(
    run: Run, tmp_path: Path, weights: Path, codec: Codec, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = codec.encode(noise(3000))
    lines = [{"index": at, "codes": codes[:, at : at + 50].tolist()} for at in range(0, codes.shape[1], 50)]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    path = tmp_path / f"x{suffix}"
    done = run("decode", "-", "--codec", weights, "-o", path, "--json")
    assert done.code == 0, done.err
    pcm, rate = soundfile.read(path, dtype="int16")
    assert (rate, len(pcm), done.document["samples"]) == (44100, codes.shape[1] * 8, codes.shape[1] * 8)
    if suffix != ".mp3":
        np.testing.assert_allclose(pcm, np.rint(codec.decode(codes) * 32768).clip(-32768, 32767), atol=1)


def test_a_bad_line_leaves_no_file(run: Run, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"index": 0, "codes": [[1]]}\nnonsense\n')))
    (tmp_path / "x.wav").write_bytes(b"old")
    assert "line 2 on stdin" in run("decode", "-", "--codec", weights, "-o", tmp_path / "x.wav").sentence
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.wav", b"old")]


def test_a_name_of_any_suffix_is_decoded(run: Run, tmp_path: Path, tokens: Path, weights: Path) -> None:
    shutil.copy(tokens, tmp_path / "x.bin")
    assert run("decode", tmp_path / "x.bin", "--codec", weights, "-o", tmp_path / "x.wav").code == 0
    assert load_weights(weights).codec_hash
