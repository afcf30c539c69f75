"""The commands about codecs, `info`, `check`, `convert` and `bench`: what they print and write."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import soundfile

from streamrvq import __version__, load
from streamrvq.bench import machine
from streamrvq.codec import Codec
from streamrvq.resampling import RESAMPLER
from streamrvq.weights import save_weights
from tests.support.command import Done, Run
from tests.support.contract import codec_of, minute, noise, tiny, weights_of


def test_version_and_help(run: Run) -> None:
    assert run("--version") == Done(0, f"streamrvq {__version__}\n", "")
    help_text = run("--help").out
    assert {"encode", "decode", "info", "check", "convert", "bench"} <= set(help_text.split())
    assert run().code == 2


def test_info(run: Run, weights: Path, tmp_path: Path) -> None:
    done = run("info", weights)
    assert done.code == 0
    assert "untrained" in done.out
    assert done.err == ""
    assert run("info", "causal-44khz", "--json").document["status"] == "trained"
    save_weights(weights_of(tiny()), path := tmp_path / "tiny.safetensors")
    facts = run("info", path, "--json").document
    assert (facts["delay_frames"], facts["lookahead_samples"], facts["decoder_delay_samples"]) == (8, 3733, 4757)
    assert facts["receptive_field"] == [-3733, 4244]
    assert facts["resampler"] == RESAMPLER
    assert RESAMPLER in done.out
    assert facts["frame_rate"] == pytest.approx(86.1328)
    assert facts["bitrate"] == pytest.approx(7751.95, abs=0.01)
    assert facts["status"] == "untrained"
    shapes = weights_of(minute()).tensors.values()
    facts = run("info", weights, "--json").document
    total = sum(facts[f"{part}_parameters"] for part in ("encoder", "quantizer", "decoder"))
    assert total == sum(t.size for t in shapes)


def test_info_of_what_is_no_codec_says_what_it_is(run: Run, wav: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is an audio file, and no codec; wanted one of the presets" in run("info", wav).sentence
    assert "is a folder without a codec's config.json; wanted one of" in run("info", tmp_path / "empty").sentence
    assert "is an audio file, and no tokens; encode it first" in run("decode", wav, "-o", "x.flac").sentence


def test_check(run: Run, wav: Path, weights: Path) -> None:
    done = run("check", weights, wav, "--chunks", "7,8,random", "--decode")
    assert done.code == 0
    assert "untrained" in done.out
    assert "random" in done.out
    assert "decoding" in done.out
    document = run("check", weights, wav, "--chunks", "7,8,random", "--json", "--seconds", "0.05").document
    assert document["passed"]
    assert [row["chunks"] for row in document["rows"]] == [7, 8, "random"]
    assert document["seconds"] == pytest.approx(0.05, abs=1e-4)
    assert document["status"] == "untrained"


def test_check_of_what_there_is_of_a_cut_file(run: Run, wav: Path, weights: Path, tmp_path: Path) -> None:
    (cut := tmp_path / "cut.wav").write_bytes(wav.read_bytes()[:-400])
    assert "is cut off" in run("check", weights, cut, "--chunks", "7").sentence
    kept = run("check", weights, cut, "--chunks", "7", "--truncated", "keep", "--track", "0", "--json").document
    assert kept["seconds"] == 4310 / 44100


def test_check_across_rates(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    """A file at another rate, and a rate that is asked for."""
    soundfile.write(tmp_path / "16k.wav", noise(1600), 16000)
    done = run("check", weights, tmp_path / "16k.wav", "--chunks", "7,random", "--decode", "--json")
    assert done.code == 0
    rows = [(row["sample_rate"], row["chunks"]) for row in done.document["rows"]]
    assert rows == [(rate, chunks) for rate in (44100, 16000) for chunks in (7, "random")]
    assert [row["sample_rate"] for row in done.document["decode_rows"]] == 5 * [44100] + 5 * [16000]
    assert {row["samples"] for row in done.document["decode_rows"][5:]} == {1602}  # 552 hops of 8 samples
    assert all(row["difference"] < 1e-5 for row in done.document["decode_rows"])
    assert done.document["rows"][2]["latent_difference"] is None
    document = run("check", weights, wav, "--chunks", "480", "--rate", "48000", "--json").document
    assert [(row["sample_rate"], row["pushes"]) for row in document["rows"]] == [(44100, 10), (48000, 10)]
    done = run("check", weights, wav, "--chunks", "480", "--rate", "48000", "--decode")
    assert "parked" in done.out
    assert "Hz" in done.out
    assert "Hz" not in run("check", weights, wav, "--chunks", "480").out.split("\n", 1)[1]


def test_check_says_when_chunking_shows(run: Run, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamrvq.checking import table

    honest = table._encode

    def encode(codec: Codec, signal: Any, size: Any, seed: int, tail: str) -> Any:
        codes, latents, pushes = honest(codec, signal, size, seed, tail)
        return (codes if size is None else (codes + 1) % 64), latents, pushes

    monkeypatch.setattr(table, "_encode", encode)
    done = run("check", weights, wav, "--chunks", "7")
    assert done.code == 1
    assert "DIFFERENT" in done.out
    done = run("check", weights, wav, "--chunks", "7", "--json")
    assert done.code == 1
    assert done.document["passed"] is False


def test_check_says_when_chunking_shows_in_decoded_samples(
    run: Run, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamrvq.checking import table

    honest = table.decodings

    def decodings(*of: Any) -> list[table.DecodeRow]:
        return [dataclasses.replace(row, difference=0.01) for row in honest(*of)]

    arguments = ["check", weights, wav, "--chunks", "7", "--decode"]
    assert {row["passed"] for row in run(*arguments, "--json").document["decode_rows"]} == {True}
    monkeypatch.setattr(table, "decodings", decodings)
    done = run(*arguments)
    assert done.code == 1
    assert "DIFFERENT" in done.out
    done = run(*arguments, "--json")
    assert done.code == 1
    assert done.document["passed"] is False
    assert {row["passed"] for row in done.document["decode_rows"]} == {False}


@pytest.mark.parametrize("target", ["x.safetensors", "x.pth", "folder"])
def test_convert(run: Run, tmp_path: Path, weights: Path, codec: Codec, target: str) -> None:
    done = run("convert", weights, tmp_path / target)
    assert done.code == 0
    assert "untrained" in done.out
    document = run("convert", tmp_path / target, tmp_path / "again.safetensors", "--json").document
    assert document["status"] == "untrained"
    assert document["codec_hash"] == document["source_codec_hash"]
    if target != "x.pth":  # weight norm may round
        assert document["codec_hash"] == codec.codec_hash


def test_convert_half(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    assert run("convert", weights, tmp_path / "half.safetensors", "--half").code == 0
    assert (tmp_path / "half.safetensors").stat().st_size < weights.stat().st_size
    assert load(tmp_path / "half.safetensors").codec_hash == codec.codec_hash
    assert "half" in run("convert", weights, tmp_path / "x.pth", "--half").sentence


@pytest.mark.parametrize(
    ("name", "layout"),
    [("x.bin", "streamrvq"), ("x", "streamrvq"), ("x.pth", "streamrvq"), ("x.safetensors", "descript")],
)
def test_a_name_that_would_not_be_read_again_is_not_written(
    run: Run, tmp_path: Path, weights: Path, name: str, layout: str
) -> None:
    sentence = run("convert", weights, tmp_path / name, "--layout", layout).sentence
    assert f"{name} would hold layout {layout}, which is read only from a name in ." in sentence
    assert list(tmp_path.iterdir()) == []


def test_the_layout_may_be_said_too(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    for name, layout in (("X.SAFETENSORS", "streamrvq"), ("x.v2", "huggingface")):
        done = run("convert", weights, tmp_path / name, "--layout", layout, "--json")
        assert done.document["codec_hash"] == codec.codec_hash


def test_bench(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDES", (32,))
    monkeypatch.setattr(machine, "READ_BYTES", 1 << 16)
    monkeypatch.setattr(machine, "SECONDS", 0.03)
    quick = ("--hops", "1,2", "--batch", "1", "--seconds", "0.002", "--rounds", "1", "--no-official")
    done = run("bench", weights, *quick, "--decode")
    assert done.code == 0
    assert "untrained" in done.out
    assert "skipped" in done.out
    assert "GFLOP/s" in done.out
    document = run("bench", weights, *quick, "--json").document
    assert [row["hops"] for row in document["encode"]] == [1, 2]
    assert document["decode"] == []
    assert document["encode"][0]["official_ratio"] is None
    assert document["status"] == "untrained"


def test_json_says_trained_of_trained_weights(run: Run, tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "t.safetensors"
    save_weights(dataclasses.replace(codec_of(minute()).weights, trained=True), path)
    assert run("info", path, "--json").document["status"] == "trained"
    assert "untrained" not in run("info", path).out
