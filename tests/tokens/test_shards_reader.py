"""`streamrvq.tokens` reads what was encoded, whole and in part, from shards and single files; so do others' tools."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError, TokensError
from streamrvq.audio.files import open_audio
from streamrvq.codec import Codec
from streamrvq.corpus import encode_corpus, shard
from streamrvq.tokens import Signal, open_tokens, read_tokens
from streamrvq.tokens.shards import Shard
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.corpora import KINDS, make_audio, rows_in, signals_in
from tests.support.patience import PATIENCE
from tools.fuzzing.registry import targets


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Every channel of `KINDS`; rows of 20 frames, row groups of 500 codes, three shards or more."""
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "ROW_GROUP", 500)
        encode_corpus([make_audio(folder / "in")], folder / "out", weights, workers=1, channels="each",
                      segment_seconds=160 / 44100, shard_bytes=10_000)  # fmt: skip
    assert len(list((folder / "out").glob("*.parquet"))) >= 3
    return folder / "out"


Opened = tuple[list[Signal], dict[tuple[str, int], np.ndarray]]


@pytest.fixture(scope="module")
def opened(corpus: Path) -> Opened:
    return list(open_tokens(corpus)), signals_in(corpus)


def test_threads_that_read_one_shard_get_their_own_rows(corpus: Path) -> None:
    """Another thread reads a row of another group, just when this one has read its group."""
    path = max(corpus.glob("*.parquet"), key=lambda path: pq.read_metadata(path).num_row_groups)
    wanted = Shard(path)
    last, racing = wanted.rows - 1, [True]

    class Raced(Shard):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_held" and value is not None and racing:
                racing.clear()
                self._row(last)

    raced = Raced(path)
    np.testing.assert_array_equal(raced._row(0), wanted._row(0))
    assert not racing
    np.testing.assert_array_equal(raced._row(last), wanted._row(last))


def decoded_length(path: str) -> int:
    with open_audio(path) as reader:
        return sum(map(len, reader.blocks(4096)))


def test_signals_are_what_was_written(corpus: Path) -> None:
    tokens, wanted = open_tokens(corpus), signals_in(corpus)
    assert len(tokens) == len(wanted) == sum(channels for *_, channels in KINDS.values())
    assert {(signal.path, signal.channel) for signal in tokens} == wanted.keys()
    for signal in tokens:
        codes = wanted[signal.path, signal.channel]
        np.testing.assert_array_equal(signal.read(), codes)
        assert signal.read().dtype == np.int64
        assert (signal.n_quantizers, signal.frames) == codes.shape
        rate, samples, _ = KINDS[str(Path(signal.path).relative_to(corpus.parent / "in"))]
        if signal.path.endswith(("mp3", "ogg")):  # which have an encoder's filling, too
            samples = decoded_length(signal.path)
        assert (signal.source_rate, signal.num_samples) == (rate, samples)
        assert signal.frame_rate == 44100 / 8
        assert signal.seconds == signal.num_samples / rate
    stereo = str(corpus.parent / "in" / "stereo.flac")
    np.testing.assert_array_equal(tokens[stereo, 1].read(), wanted[stereo, 1])
    a = corpus.parent / "in" / "a.wav"
    assert tokens[a].path == tokens[str(a), 0].path == str(a)
    assert [signal.path for signal in tokens[-2:]] == [tokens[len(tokens) - 2].path, tokens[-1].path]
    for key in (stereo, "nowhere", (str(a), 1)):
        with pytest.raises(KeyError):
            tokens[key]
    with pytest.raises(IndexError):
        tokens[len(tokens)]


@given(data=st.data())
def test_seeking(opened: Opened, data: st.DataObject) -> None:
    signals, wanted = opened
    signal = data.draw(st.sampled_from(signals))
    codes = wanted[signal.path, signal.channel]
    first = data.draw(st.integers(0, signal.frames))
    stop = data.draw(st.integers(first, signal.frames))
    levels = data.draw(st.integers(1, 3))
    np.testing.assert_array_equal(signal.read_frames(first, stop, levels), codes[:levels, first:stop])
    # whole frames by their times, which no float holds exactly
    np.testing.assert_array_equal(signal.read(first * 8 / 44100, stop * 8 / 44100), codes[:, first:stop])
    start, end = (tenths / 1e4 for tenths in sorted((data.draw(st.integers(0, 3000)), data.draw(st.integers(0, 3000)))))
    part = signal.read(start, end, framework="torch")
    assert isinstance(part, torch.Tensor)
    assert part.dtype == torch.int64
    times = np.arange(signal.frames) * 8 / 44100  # frames of which some part lies there, but for a grain of rounding
    inside = np.flatnonzero((times < end - 1e-9) & (times + 8 / 44100 > start + 1e-9))
    if start < end:
        np.testing.assert_array_equal(part, codes[:, inside])


def test_only_what_is_asked_for_is_read(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, i, **kw: (read.append(i), original(self, i, **kw))[1]
    )
    tokens = open_tokens(corpus)
    signal = max(tokens, key=lambda signal: signal.frames)
    assert read == []
    signal.read_frames(50, 51)
    signal.read_frames(51, 52)
    assert len(read) == 1
    signal.read()
    assert len(read) > 5


def test_single_files_and_folders_of_them(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    for name, samples in (("a", 800), ("b", 4001), ("none", 0)):
        soundfile.write(tmp_path / f"{name}.wav", noise(samples)[:samples], 44100, subtype="FLOAT")
    assert run("encode", tmp_path, "--codec", weights, "-o", tmp_path / "out").code == 0
    tokens = open_tokens(tmp_path / "out")
    assert [Path(signal.path).stem for signal in tokens] == ["a", "b", "none"]
    codes = read_tokens(tmp_path / "out" / "b.safetensors").codes
    (one,) = open_tokens(tmp_path / "out" / "b.safetensors")
    np.testing.assert_array_equal(one.read(), codes)
    np.testing.assert_array_equal(one.read(0.01, 0.02, n_quantizers=2), codes[:2, 55:111])
    np.testing.assert_array_equal(one.read_frames(7, 7), codes[:, :0])
    np.testing.assert_array_equal(one.read_frames(501, 501), codes[:, :0])
    assert (one.seconds, one.codec_hash, one.pcm_length) == (4001 / 44100, codec.codec_hash, 4001)
    assert tokens[2].read().shape == (3, 0)
    both = open_tokens([tmp_path / "out" / "b.safetensors", tmp_path / "out"])
    assert len(both) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": -1}, "wanted times from 0"),
        ({"start": 2, "stop": 1}, "wanted times from 0"),
        ({"start": float("nan")}, "wanted times from 0"),
        ({"n_quantizers": 4}, "n_quantizers is 4"),
        ({"n_quantizers": 0}, "n_quantizers is 0"),
        ({"n_quantizers": 1.5}, "n_quantizers is 1.5"),
        ({"framework": "jax"}, "framework is 'jax'"),
    ],
)
def test_bad_questions(corpus: Path, arguments: dict[str, Any], words: str) -> None:
    signal = open_tokens(corpus)[0]
    with pytest.raises(InputError, match=words):
        signal.read(**arguments)
    with pytest.raises(InputError, match="were asked for"):
        signal.read_frames(0, signal.frames + 1)
    with pytest.raises(InputError, match=r"0\.5 to 1 were asked for"):
        signal.read_frames(0.5, 1)  # type: ignore[arg-type]


def test_bad_places(corpus: Path, tmp_path: Path) -> None:
    for place, words in (
        (tmp_path, "holds no shards"),
        (tmp_path / "x.parquet", "no file of tokens"),
        (__file__, "no file"),
    ):
        with pytest.raises(TokensError, match=words):
            open_tokens(place)
    some = sorted(corpus.glob("*.parquet"))[1:]
    for path in some:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(TokensError, match=f"holds {len(some)} of {len(some) + 1} shards"):
        open_tokens(tmp_path)
    assert 0 < len(open_tokens(tmp_path, partial=True)) < len(open_tokens(corpus))
    (tmp_path / some[0].name).write_bytes(some[0].read_bytes()[:-10])
    with pytest.raises(TokensError, match=f"cannot read .*{some[0].name}"):
        len(open_tokens(tmp_path, partial=True))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(TokensError, match="no shard of tokens"):
        len(open_tokens(tmp_path / "other.parquet"))


def test_nothing_to_open_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    """No name, an empty one, which a path takes for this folder, and a folder with nothing in it."""
    monkeypatch.chdir(corpus)
    for nothing in ([], ()):
        with pytest.raises(TokensError, match=r"^no tokens were named; wanted a folder, a \.parquet shard or"):
            open_tokens(nothing)
    for name in ("", [""], [corpus, ""]):
        with pytest.raises(TokensError, match=r"^an empty name was given for tokens; wanted a file"):
            open_tokens(name)
    with pytest.raises(TokensError, match="holds no shards and no token files"):
        open_tokens([corpus, tmp_path])
    assert len(open_tokens(".")) == len(open_tokens(Path())) == len(open_tokens(corpus))


def test_it_goes_to_other_processes(corpus: Path) -> None:
    tokens = open_tokens(corpus)
    first = tokens[0].read()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tokens))[0].read(), first)
    code = (
        "import sys; from streamrvq.tokens import open_tokens; tokens = open_tokens(sys.argv[1]);"
        "[signal.read() for signal in tokens]; assert 'torch' not in sys.modules, 'torch was loaded'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(corpus)], check=True, timeout=PATIENCE)


def test_pyarrow_reads_a_folder_as_it_is(corpus: Path) -> None:
    dataset = pa.dataset.dataset(corpus)
    assert dataset.count_rows() == len(rows_in(corpus))
    table = dataset.to_table(filter=pa.dataset.field("segment") == 2, columns=["path", "codes"])
    assert table.num_rows > 3
    assert {len(codes) % 3 for codes in table["codes"].to_pylist()} == {0}


def test_what_a_mac_keeps_beside_files_is_passed_over(corpus: Path, tmp_path: Path) -> None:
    beside = b"\0\5\x16\7" + bytes(100)
    for path in corpus.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / f"._{path.name}").write_bytes(beside)
    assert open_tokens(tmp_path).names == open_tokens(corpus).names
    (single := tmp_path / "single" / "sub").mkdir(parents=True)
    (single / "._x.safetensors").write_bytes(beside)
    with pytest.raises(TokensError, match="holds no shards and no token files"):
        open_tokens(tmp_path / "single")
    (single / "x.safetensors").write_bytes(targets()["tokens"].seeds()[0])
    assert [Path(path).name for path, _ in open_tokens(tmp_path / "single").names] == ["x.safetensors"]
