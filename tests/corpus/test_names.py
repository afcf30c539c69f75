"""Files whose names are not UTF-8: encoded as any other, under a name that says their bytes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq import InputError
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.sources import collect
from streamrvq.tokens import open_tokens
from tests.support.command import Run
from tests.support.contract import noise

LATIN = os.fsdecode(b"caf\xe9.wav")


@pytest.fixture
def folder(tmp_path: Path, wav: Path) -> Path:
    (folder := tmp_path / "in").mkdir()
    try:
        shutil.copy(wav, folder / LATIN)
    except OSError:  # as on a Mac
        pytest.skip("this file system has names in UTF-8 only")
    return folder


@pytest.mark.parametrize(("how", "workers"), [("folder", 2), ("glob", 1), ("file", 1)])
def test_such_a_file_is_encoded(folder: Path, weights: Path, codec: Codec, how: str, workers: int) -> None:
    soundfile.write(folder / "b.wav", noise(900), 44100)
    sources = {"folder": [folder], "glob": [folder / "*.wav"], "file": [folder / "b.wav", folder / LATIN]}[how]
    done = encode_corpus(sources, folder.parent / "out", weights, workers=workers, shard_bytes=1)
    assert (done.rows, done.failed) == (2, ())
    signals = {signal.path: signal for signal in open_tokens(folder.parent / "out")}
    np.testing.assert_array_equal(signals[f"{folder}/caf\\xe9.wav"].read(), codec.encode(noise(4410)))


def test_it_is_found_by_either_name(run: Run, folder: Path, weights: Path) -> None:
    soundfile.write(folder / "b.wav", noise(900), 44100)
    out, target = folder.parent / "out", folder.parent / "x.wav"
    assert run("encode", folder, "--shards", out, "--codec", weights, "--workers", "1").code == 0
    for name in (LATIN, r"caf\xe9.wav"):
        done = run("decode", out, "--path", name, "--codec", weights, "-o", target, "--json")
        assert (done.code, done.document["samples"]) == (0, 4410)
        target.unlink()


def test_two_files_that_would_have_one_name_are_told(folder: Path) -> None:
    shutil.copy(folder / LATIN, folder / r"caf\xe9.wav")
    with pytest.raises(InputError, match=r"as another file is; rename one"):
        collect([folder])
    assert len(collect([folder / LATIN]).files) == 1


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    """Two manifests in folders of their own, each with a file called 0001.wav."""
    for number, name in enumerate(("train", "test")):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "0001.wav", noise(900 + 80 * number, number), 44100)
        (tmp_path / name / "metadata.csv").write_text("path\n0001.wav\n")
    return [tmp_path / "train" / "metadata.csv", tmp_path / "test" / "metadata.csv"]


def test_manifests_that_give_two_files_one_name_are_refused(tmp_path: Path, weights: Path, lists: list[Path]) -> None:
    out = tmp_path / "out"
    said = rf"^{tmp_path}/test/0001\.wav and {tmp_path}/train/0001\.wav would both be 0001\.wav in the shards; write"
    with pytest.raises(InputError, match=said):
        encode_corpus(lists, out, weights, workers=1)
    assert not out.exists()
    encode_corpus(lists[0], out, weights, workers=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        encode_corpus(lists, out, weights, workers=1)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(collect([*lists[:1], tmp_path / "train"]).files) == 1  # two names of one file


def test_signals_of_two_files_with_one_name_are_not_chosen_between(
    tmp_path: Path, weights: Path, lists: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In shards that older versions wrote, and in two folders that are opened as one."""
    with monkeypatch.context() as older:
        older.setattr("streamrvq.corpus.sources._check_names", lambda named: None)
        encode_corpus(lists, tmp_path / "both", weights, workers=1)
    for number, one in enumerate(lists):
        encode_corpus(one, tmp_path / str(number), weights, workers=1)
    for tokens in (open_tokens(tmp_path / "both"), open_tokens([tmp_path / "0", tmp_path / "1"])):
        assert [signal.path for signal in tokens] == ["0001.wav"] * 2
        for key in ("0001.wav", ("0001.wav", -1)):
            with pytest.raises(KeyError, match="is the name of 2 signals, which are 0, 1; wanted the number of one"):
                tokens[key]
    same = open_tokens([tmp_path / "0", tmp_path / "0" / ".." / "0"])
    assert len(same) == 2
    np.testing.assert_array_equal(same["0001.wav"].read(), same[0].read())
