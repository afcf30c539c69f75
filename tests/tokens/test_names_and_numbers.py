"""A set of tokens asked by names and by numbers of all kinds; and what it holds in memory."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq import InputError, TokensError
from streamrvq.corpus import encode_corpus, shard
from streamrvq.tokens import Signal, TokenFile, TokenSet, open_tokens, shards, write_tokens
from tests.support.corpora import make_audio

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.uint64]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Every channel of `KINDS` in rows of 300 frames, one in each row group, and several shards."""
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "ROW_GROUP", 1)
        encode_corpus([make_audio(folder / "in")], folder / "out", weights, workers=1, channels="each",
                      segment_seconds=2400 / 44100, shard_bytes=10_000)  # fmt: skip
    return folder / "out"


def test_a_name_or_a_signal_is_found(corpus: Path) -> None:
    tokens = open_tokens(corpus)
    for number, signal in enumerate(tokens):
        for name in (signal, (signal.path, signal.channel), (Path(signal.path), np.int16(signal.channel))):
            assert name in tokens
            assert (tokens.index(name), tokens.count(name)) == (number, 1)
        assert signal.path in tokens
        assert pickle.loads(pickle.dumps(signal)) in tokens
    stereo = next(path for path, channel in tokens.names if path.endswith("stereo.flac"))
    assert tokens.count(stereo) == 2
    assert tokens.index(stereo, tokens.index(stereo) + 1) == tokens.index(stereo) + 1
    for other in ("nowhere", (stereo, 2), (stereo, "1"), (stereo, []), (stereo,), 0, None, [], np.zeros(2)):
        assert other not in tokens
        assert tokens.count(other) == 0
    with pytest.raises(ValueError, match="'nowhere' is not among these"):
        tokens.index("nowhere")
    with pytest.raises(ValueError, match="is not among these"):
        tokens.index(stereo, 0, tokens.index(stereo))


def test_a_signal_of_another_file_is_another(corpus: Path, tmp_path: Path) -> None:
    for path in corpus.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tokens, others = open_tokens(corpus), open_tokens(tmp_path)
    assert tokens.names == others.names
    assert not any(signal in others for signal in tokens)
    assert len({*tokens, *open_tokens(corpus)}) == len(tokens)
    write_tokens(tmp_path / "x.safetensors", TokenFile(np.zeros((1, 2), int), "a", "b", True, 8, 2, 8, 4))
    one = open_tokens(tmp_path / "x.safetensors")
    assert one[0] in one
    assert one[0] not in tokens


@pytest.mark.parametrize("number", [np.array(2), torch.tensor(2), np.uint8(2)], ids=lambda value: type(value).__name__)
def test_a_number_of_any_kind_is_one(corpus: Path, number: Any) -> None:
    tokens = open_tokens(corpus)
    assert tokens[number] == tokens[2]


@pytest.mark.parametrize("key", [None, 1.5, [0, 1], np.zeros(3), ("a",), ("a", 0, 1), ([], 0), ("a", [])], ids=str)
def test_what_is_no_name_is_refused(corpus: Path, key: Any) -> None:
    with pytest.raises(
        KeyError, match=r"is not among these \d+ signals; wanted a number, a path, or \(path, channel\)"
    ):
        open_tokens(corpus)[key]


@pytest.mark.parametrize("places", [None, 5, b"tokens", [None], ["tokens", b"tokens"]], ids=str)
def test_what_is_no_place_is_refused(places: Any) -> None:
    with pytest.raises(TokensError, match="was given for tokens; wanted the name of a file or a folder"):
        open_tokens(places)


@pytest.fixture(scope="module")
def longest(corpus: Path) -> Signal:
    """Of several rows; numbers of its frames do not fit in a byte."""
    signal = max(open_tokens(corpus), key=lambda signal: signal.frames)
    assert signal.frames > 900
    return signal


@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: kind.__name__)
def test_numpys_numbers_give_the_same_frames(longest: Signal, kind: Any) -> None:
    whole = longest.read()
    np.testing.assert_array_equal(longest.read_frames(kind(5)), whole[:, 5:])
    np.testing.assert_array_equal(longest.read_frames(kind(5), kind(100), kind(2)), whole[:2, 5:100])


def test_numpys_times_give_the_same_frames(longest: Signal) -> None:
    for frame in range(0, longest.frames, 7):
        time = np.float32(frame / longest.frame_rate)
        np.testing.assert_array_equal(longest.read(time), longest.read(float(time)))


def test_a_tensor_that_was_read_is_written(longest: Signal, tmp_path: Path) -> None:
    codes = longest.read(framework="torch")
    write_tokens(tmp_path / "x.safetensors", TokenFile(codes, "a", "b", True, 8, 2, 8, 4))  # type: ignore[arg-type]
    np.testing.assert_array_equal(open_tokens(tmp_path / "x.safetensors")[0].read(), longest.read())


@pytest.mark.parametrize("times", [("a",), (0, "b"), (None,), (np.zeros(2),)], ids=str)
def test_what_is_no_time_is_refused(longest: Signal, times: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="wanted times from 0 on"):
        longest.read(*times)


def holding(tokens: TokenSet) -> int:
    """How many shards hold a row group."""
    return sum(part._held is not None or part._values is not None for part in tokens._parts)  # type: ignore[attr-defined]


@pytest.mark.parametrize("copied", ["itself", "copy", "pickle"])
def test_however_many_shards_there_are_few_hold_codes(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, copied: str
) -> None:
    monkeypatch.setattr(shards, "MOST_HELD", 2)
    tokens = open_tokens(corpus)
    if copied != "itself":
        tokens = copy.deepcopy(tokens) if copied == "copy" else pickle.loads(pickle.dumps(tokens))
    assert len(tokens._parts) > 3
    wanted = [signal.read() for signal in tokens]
    assert 0 < holding(tokens) <= 2
    for number in np.random.default_rng(0).permutation(np.repeat(np.arange(len(tokens)), 3)):
        np.testing.assert_array_equal(tokens[number].read(), wanted[number])
        assert tokens[number].columns == {}
        assert holding(tokens) <= 2


def test_a_shard_that_is_read_often_takes_no_others_place(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MOST_HELD", 2)
    last, places = shards.LastRead(), sorted(corpus.glob("*.parquet"))[:3]
    first, second, third = (shards.Shard(place, last) for place in places)
    for each in (first, second):
        each.signal(0).read()
    for _ in range(3):
        last.add(second)
    assert [each._held is not None for each in (first, second)] == [True, True]
    third.signal(0).read()
    assert [each._held is not None for each in (first, second, third)] == [False, True, True]
