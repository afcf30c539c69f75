"""`info` of what is stored: token files, shards, runs that ended or did not, and journals in their place."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from streamrvq.codec import Codec
from streamrvq.resampling import RESAMPLER
from streamrvq.tokens import read_tokens, write_tokens
from tests.support.command import Run
from tests.support.corpora import KINDS, make_audio


@pytest.fixture
def tokens(run: Run, wav: Path, weights: Path) -> Path:
    run("encode", wav, "--codec", weights)
    return wav.with_suffix(".safetensors")


def test_info_of_a_token_file(run: Run, tokens: Path, codec: Codec) -> None:
    facts = run("info", tokens, "--json").document
    assert (facts["kind"], facts["codec_hash"], facts["status"]) == ("tokens", codec.codec_hash, "untrained")
    assert (facts["frames"], facts["n_quantizers"], facts["num_samples"]) == (552, 3, 4410)
    assert facts["seconds"] == pytest.approx(0.1)
    done = run("info", tokens)
    assert (done.code, done.err) == (0, "")
    assert "0.100 s, 4410 samples at 44100 Hz" in done.out
    assert "untrained" in done.out
    assert "gaps" not in done.out


def test_info_of_a_recording_names_its_gaps(run: Run, tokens: Path, tmp_path: Path) -> None:
    file = dataclasses.replace(read_tokens(tokens), gaps=((10, 20), (50, 441)), start=44100, codec="[/x]", trained=True)
    write_tokens(tmp_path / "x.bin", file)
    done = run("info", tmp_path / "x.bin")
    assert "2, 0.010 s of zeros" in done.out
    assert "at sample 44100 of the recording, 1.000 s" in done.out
    assert "[/x]" in done.out
    assert "untrained" not in done.out
    assert run("info", tmp_path / "x.bin", "--json").document["gaps"] == [[10, 20], [50, 441]]


def test_info_of_a_run(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    make_audio(tmp_path / "in")
    (tmp_path / "in" / "bad.wav").write_text("no audio")
    encode = ("encode", tmp_path / "in", "--shards", tmp_path / "out", "--codec", weights, "--workers", 1)
    run(*encode, "--shard-mib", 0.02)
    facts = run("info", tmp_path / "out", "--json").document
    assert (facts["kind"], facts["codecs"][0]["codec_hash"]) == ("run", codec.codec_hash)
    assert facts["run"]["complete"] is True
    assert (facts["run"]["sources"], facts["run"]["failed"]) == (len(KINDS) + 1, 3)
    assert facts["signals"] == len(KINDS) - 2
    assert facts["files"] == facts["run"]["shards"] > 1
    with open(tmp_path / "out" / "__run__" / "plan.jsonl", "a") as plan:  # a run that was killed while it grew
        plan.write('{"shard": 99, "path": "x.wav", "file": "/x.wav", "bytes": 1}\n')
    assert run("info", tmp_path / "out", "--json").document["run"] == facts["run"]
    assert facts["resamplers"] == [RESAMPLER]
    done = run("info", tmp_path / "out")
    assert "complete" in done.out
    assert "resampler" in done.out
    assert RESAMPLER in done.out
    assert "a.wav" in done.out
    shard = sorted((tmp_path / "out").glob("*.parquet"))[0]
    assert run("info", shard, "--json").document["kind"] == "shards"
    shard.unlink()
    facts = run("info", tmp_path / "out", "--json").document
    assert facts["run"]["complete"] is False
    assert facts["run"]["shards_done"] == facts["run"]["shards"] - 1
    assert "not complete: give its command again" in run("info", tmp_path / "out").out
    for path in (tmp_path / "out").glob("*.parquet"):
        path.unlink()
    assert "0 of" in run("info", tmp_path / "out").out
    (tmp_path / "out" / "__run__" / "run.json").write_text("{")
    assert "__run__" in run("info", tmp_path / "out").sentence


def test_info_of_a_folder_of_token_files(run: Run, tmp_path: Path, tokens: Path, weights: Path) -> None:
    (tmp_path / "set" / "sub").mkdir(parents=True)
    for name in ("a.safetensors", "sub/b.safetensors"):
        shutil.copy(tokens, tmp_path / "set" / name)
    facts = run("info", tmp_path / "set", "--json").document
    assert (facts["kind"], facts["signals"], facts["seconds"]) == ("token files", 2, pytest.approx(0.2))
    assert run("info", weights, "--json").document["n_codebooks"] == 3  # weights in .safetensors are no tokens


@pytest.mark.parametrize("command", ["info", "decode", "play"])
@pytest.mark.parametrize("named", ["x.safetensors", "x.safetensors.journal", "x", "x.wav"])
def test_a_journal_beside_it_is_named(run: Run, tmp_path: Path, command: str, named: str) -> None:
    (tmp_path / "x.safetensors.journal").write_text("{")
    options = ["-o", tmp_path / "y.wav"] if command == "decode" else []
    sentence = run(command, tmp_path / named, *options).sentence
    assert f"`streamrvq mic --recover {tmp_path / 'x.safetensors'}`" in sentence


def test_nothing_is_said_of_journals_where_there_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.safetensors.journal").write_text("{")
    assert "recover" not in run("decode", tmp_path / "x.safetensors", "-o", tmp_path / "y.wav").sentence


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999"])
def test_a_record_with_numbers_that_json_does_not_have_is_refused(run: Run, tmp_path: Path, value: str) -> None:
    (tmp_path / "__run__").mkdir()
    text = '{"shards": 1, "sources": 1, "digest": "", "streamrvq": "1", "settings": {"codec": VALUE}}'
    for came, code in (("5", 0), (value, 2)):
        (tmp_path / "__run__" / "run.json").write_text(text.replace("VALUE", came))
        done = run("info", tmp_path, "--json")
        assert done.code == code
    assert done.out == ""
    assert "__run__ cannot be read (ValueError" in done.sentence


def test_what_a_mac_keeps_beside_files_is_no_shard(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "._shard-00000-of-00001.parquet").write_bytes(b"\0\5\x16\7" + bytes(100))
    encode = ("encode", wav, "--shards", out, "--codec", weights, "--workers", 1)
    assert run(*encode).code == 0
    assert run(*encode).code == 0
    facts = run("info", out, "--json").document
    assert (facts["files"], facts["signals"], facts["run"]["shards_done"]) == (1, 1, 1)
    (out / "shard-00000-of-00001.parquet").unlink()
    assert run("info", out, "--json").document["run"]["complete"] is False
