"""Token files: what is written is read, and whatever is not one of ours is refused in a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import TokensError
from streamrvq.tokens import FORMAT, TokenFile, read_tokens, write_tokens


def a_file(**changes: Any) -> TokenFile:
    values: dict[str, Any] = {
        "codes": np.arange(12).reshape(3, 4),
        "codec": "tiny – with a dash",
        "codec_hash": "ab" * 32,
        "trained": False,
        "sample_rate": 44100,
        "hop_length": 512,
        "source_rate": 48000,
        "num_samples": 2000,
    }
    return TokenFile(**(values | changes))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("tail", ["pad", "valid"])
@pytest.mark.parametrize("resampler", [None, "fir48-1"])
def test_what_is_written_is_read(tmp_path: Path, trained: bool, tail: str, resampler: str | None) -> None:
    wrote = a_file(trained=trained, tail=tail, resampler=resampler, codes=np.array([[0, 65535], [1, 2]], np.uint16))
    write_tokens(tmp_path / "x.safetensors", wrote)
    read = read_tokens(tmp_path / "x.safetensors")
    for field in dataclasses.fields(TokenFile):
        if field.name != "codes":
            assert getattr(read, field.name) == getattr(wrote, field.name), field.name
    assert read.codes.dtype == np.int64
    np.testing.assert_array_equal(read.codes, wrote.codes)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]  # no part is left


@pytest.mark.parametrize("as_they", [np.ndarray.tolist, np.asfortranarray, lambda a: a.astype(">u2")])
def test_codes_may_come_as_any_array(tmp_path: Path, as_they: Any) -> None:
    codes = np.arange(12).reshape(3, 4)
    write_tokens(tmp_path / "x.safetensors", a_file(codes=as_they(codes)))
    np.testing.assert_array_equal(read_tokens(tmp_path / "x.safetensors").codes, codes)


def test_numpys_numbers_do_not_overflow() -> None:
    file = a_file(num_samples=np.int32(2_000_000_000), sample_rate=np.int32(44100), source_rate=np.uint16(48000))
    assert file.pcm_length == a_file(num_samples=2_000_000_000).pcm_length
    assert file.seconds == 2_000_000_000 / 48000


def test_a_file_without_frames(tmp_path: Path) -> None:
    write_tokens(tmp_path / "x.safetensors", a_file(codes=np.zeros((9, 0), np.int64), num_samples=0))
    assert read_tokens(tmp_path / "x.safetensors").codes.shape == (9, 0)


def test_lengths_at_the_codecs_rate() -> None:
    assert a_file(num_samples=48000).pcm_length == 44100
    assert a_file(num_samples=48000).seconds == 1
    assert a_file(num_samples=3, source_rate=44100).pcm_length == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codes": np.zeros((3, 4))}, "float64"),
        ({"codes": np.zeros(4, np.int64)}, r"\[K, T\]"),
        ({"codes": np.array([[-1]])}, "0 to 65535"),
        ({"codes": np.array([[65536]])}, "0 to 65535"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"num_samples": -1}, "num_samples is -1"),
        ({"tail": "crop"}, "tail is 'crop'"),
        ({"codes": None}, r"\[K, T\]"),
        ({"gaps": None}, "gaps are None; wanted pairs"),
        ({"gaps": 5}, "gaps are 5; wanted pairs"),
    ],
)
def test_no_encoding_gives_this(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TokensError, match=words):
        a_file(**changes)


def test_a_place_that_cannot_be_written_to_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="cannot write tokens to"):
        write_tokens(tmp_path / "no" / "x.safetensors", a_file())
    (tmp_path / "folder").mkdir()
    with pytest.raises(TokensError, match="cannot write tokens to"):
        write_tokens(tmp_path / "folder", a_file())
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    write_tokens(path, a_file())
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TokensError, match="No space left"):
        write_tokens(path, a_file(codes=np.zeros((3, 9), np.int64)))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def refused(path: Path, words: str) -> None:
    with pytest.raises(TokensError, match=words) as caught:
        read_tokens(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    refused(path, "no such file|No such file")
    refused(tmp_path, "it is a folder")
    path.write_bytes(b"")
    refused(path, "no token file")
    path.write_bytes(b"RIFF" + bytes(100))
    refused(path, "no token file")
    path.write_bytes(safetensors.numpy.save({"weight": np.zeros(3)}))
    refused(path, "holds no tokens")
    path.write_bytes(safetensors.numpy.save({"codes": np.zeros((1, 1), np.uint16)}, {"format": FORMAT, "version": "2"}))
    refused(path, "version '2'")
    path.write_bytes(safetensors.numpy.save({"codes": np.zeros((1, 1), np.uint16)}, {"format": FORMAT, "version": "1"}))
    refused(path, "missing or damaged entry")
    path.write_bytes(safetensors.numpy.save({"codes": np.zeros((1, 1))}, {"format": FORMAT, "version": "1"}))
    refused(path, "float64")


@given(data=st.data())
def test_a_damaged_file_never_gives_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "x.safetensors"
    write_tokens(path, a_file())
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        refused(path, "encode")
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])
        try:
            read_tokens(path)  # a flipped code is a code: the file has no checksum
        except TokensError as error:
            assert "\n" not in str(error)
