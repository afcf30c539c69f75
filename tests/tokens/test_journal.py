"""Recordings: however one ends, nothing that was recorded is lost, and token files say where samples are missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from streamrvq import Frames, Gap, TokensError
from streamrvq.cli.recording import Recording
from streamrvq.tokens import TokenFile, read_tokens, write_tokens
from streamrvq.tokens.journal import TokenJournal, journal_of, recover
from streamrvq.tokens.journal_names import damaged_of
from streamrvq.tokens.recovery import HEAD

EMPTY = TokenFile(
    codes=np.zeros((3, 0), np.int64), codec="minute", codec_hash="ab" * 32, trained=False, sample_rate=44_100,
    hop_length=8, source_rate=48_000, num_samples=0, start=77, resampler="fir48-1",
)  # fmt: skip


def codes(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (3, frames))


def same(one: TokenFile, other: TokenFile) -> bool:
    numbers = [
        {name: value for name, value in dataclasses.asdict(file).items() if name != "codes"} for file in (one, other)
    ]
    return numbers[0] == numbers[1] and np.array_equal(one.codes, other.codes)


def test_a_recording_becomes_a_token_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    journal.frames(codes(5))
    journal.gap(20, 7)
    journal.frames(codes(1, 1))
    assert journal_of(path).exists()
    assert not path.exists()
    made = journal.finish(51)
    wanted = np.concatenate([codes(5), codes(1, 1)], axis=1)
    assert same(made, dataclasses.replace(EMPTY, codes=wanted, num_samples=51, gaps=((20, 7),)))
    assert same(made, read_tokens(path))
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), data=st.data())
def test_a_journal_cut_anywhere_or_damaged_anywhere_keeps_what_came_before(tmp_path_factory, sizes, data):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    ends = [journal_of(path).stat().st_size]
    for seed, size in enumerate(sizes):
        journal.frames(codes(size, seed))
        ends.append(journal_of(path).stat().st_size)  # it is all there at once: nothing waits in a buffer
    journal.close()
    raw = bytearray(journal_of(path).read_bytes())
    at = data.draw(st.integers(ends[0], len(raw) - 1))
    if data.draw(st.booleans()):
        raw = raw[:at]
    else:
        raw[at] ^= data.draw(st.integers(1, 255))
    journal_of(path).write_bytes(raw)
    whole = sum(end <= at for end in ends) - 1
    made = recover(path)
    wanted = np.concatenate([EMPTY.codes, *(codes(size, seed) for seed, size in enumerate(sizes[:whole]))], axis=1)
    assert np.array_equal(made.codes, wanted)
    assert same(made, read_tokens(path))
    # As many samples as the frames are of, so that decoding gives whole frames.
    assert (wanted.shape[1] - 1) * 8 < made.pcm_length <= wanted.shape[1] * 8 or not wanted.size
    assert not journal_of(path).exists()
    if damaged_of(path).exists():
        assert damaged_of(path).read_bytes() == raw
    else:  # nothing that may be whole is gone: the record was the last one, or its length reached beyond the end
        assert len(raw) <= at or whole == len(sizes) - 1 or at < ends[whole] + HEAD.size


@pytest.mark.parametrize("byte", [1, 4])
def test_a_journal_with_a_damaged_length_is_kept(tmp_path: Path, byte: int) -> None:
    """A length that reaches beyond the end looks like a torn last record, and whole ones may follow."""
    path = tmp_path / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    ends = []
    for seed in range(3):
        journal.frames(codes(4, seed))
        ends.append(journal_of(path).stat().st_size)
    journal.close()
    raw = bytearray(journal_of(path).read_bytes())
    raw[ends[0] + byte] ^= 0x80
    journal_of(path).write_bytes(raw)
    assert np.array_equal(recover(path).codes, codes(4, 0))
    assert damaged_of(path).read_bytes() == raw


def test_a_journal_that_was_damaged_in_its_middle_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    journal = TokenJournal(path, EMPTY)
    for seed in range(3):
        journal.frames(codes(4, seed))
    journal.close()
    raw = bytearray(journal_of(path).read_bytes())
    raw[-40] ^= 1  # in the second record
    journal_of(path).write_bytes(raw)
    damaged_of(path).write_bytes(b"another")
    with pytest.raises(TokensError, match=r"a\.safetensors\.journal\.damaged is there already; move it away"):
        recover(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a.safetensors.journal",
        "a.safetensors.journal.damaged",
    ]
    damaged_of(path).unlink()
    assert np.array_equal(recover(path).codes, codes(4, 0))
    assert damaged_of(path).read_bytes() == raw
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.safetensors", "a.safetensors.journal.damaged"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    TokenJournal(path, EMPTY).close()
    with pytest.raises(TokensError, match=r"streamrvq mic --recover .*a\.safetensors"):
        TokenJournal(path, EMPTY)
    write_tokens(path, EMPTY)
    with pytest.raises(TokensError, match="is there already; move it away"):
        TokenJournal(path, EMPTY)
    with pytest.raises(TokensError, match="is there already; move it away, and recover"):
        recover(path)
    path.unlink()
    assert recover(journal_of(path)).codes.shape == (3, 0)  # the journal's own name will do
    with pytest.raises(TokensError, match="only a recording that was cut off"):
        recover(path)
    path.unlink()
    with pytest.raises(TokensError, match="cannot write to"):
        TokenJournal(tmp_path / "no" / "a.safetensors", EMPTY)
    for junk in (
        b"",
        b"hello",
        b"{}\n",
        b"[]\n",
        b'{"format": "streamrvq.journal", "version": 9, "n_quantizers": 1}\n',
    ):
        journal_of(path).write_bytes(junk)
        with pytest.raises(TokensError, match="no journal of tokens"):
            recover(path)
        assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(journal_of(path).name, junk)]


def test_a_long_gap_begins_another_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.safetensors", dataclasses.replace(EMPTY, start=0))
    (tmp_path / "a-2.safetensors").write_bytes(b"somebody's")
    for item in [
        Frames(0, 0.0, codes(4)), Gap(30, 48_000, "short"), Frames(4, 0.1, codes(9, 1)),
        Gap(48_100, 48_001, "long"), Gap(96_101, 60_000, "and at once another"),
        Frames(13, 3.3, codes(2, 2)), Gap(156_111, 5, "short"), Frames(15, 3.3, codes(1, 3)),
    ]:  # fmt: skip
        recording.add(item)
    recording.finish(156_130)
    assert [path.name for path in recording.files] == ["a.safetensors", "a-3.safetensors"] or [
        path.name for path in recording.files
    ] == ["a.safetensors", "a-4.safetensors"]
    first, second = map(read_tokens, recording.files)
    assert (first.start, first.num_samples, first.gaps) == (0, 48_100, ((30, 48_000),))
    assert (second.start, second.num_samples, second.gaps) == (156_101, 29, ((10, 5),))
    assert np.array_equal(first.codes, np.concatenate([codes(4), codes(9, 1)], axis=1))
    assert np.array_equal(second.codes, np.concatenate([codes(2, 2), codes(1, 3)], axis=1))
    assert not list(tmp_path.glob("*.journal"))
    with pytest.raises(TokensError, match="wanted a name that ends in"):
        Recording(tmp_path / "a.bin", EMPTY)


def test_token_files_refuse_gaps_that_cannot_be(tmp_path: Path) -> None:
    for settings in ({"start": -1}, {"gaps": ((0, 0),)}, {"gaps": ((-1, 5),)}):
        with pytest.raises(TokensError, match="wanted"):
            dataclasses.replace(EMPTY, **settings)
    path = tmp_path / "a.safetensors"
    write_tokens(path, EMPTY)
    metadata = {"format": "streamrvq.tokens", "version": "1", "codec": "c", "codec_hash": "h", "trained": "false"}
    metadata |= {"sample_rate": "1", "hop_length": "1", "source_rate": "1", "num_samples": "0", "tail": "pad"}
    for gaps in ("x", "5", "[5]", '[["a", "b"]]', "[[1]]", "[[1, 0]]"):
        save_file({"codes": np.zeros((1, 0), np.uint16)}, path, metadata | {"gaps": gaps})
        with pytest.raises(TokensError):
            read_tokens(path)
