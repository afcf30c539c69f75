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
