"""Shards carry a checksum of each row's codes: damage is found when a row is read, and before a run goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import CorpusError, TokensError
from streamrvq.corpus import encode_corpus
from streamrvq.tokens import open_tokens
from tests.support.contract import noise


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """A folder with audio in ``in`` and its shard in ``out``: six rows of 20 frames or less."""
    folder = tmp_path_factory.mktemp("checksums")
    (folder / "in").mkdir()
    for number in range(2):
        soundfile.write(folder / "in" / f"{number}.wav", noise(450, number), 44100)
    encode_corpus([folder / "in"], folder / "out", weights, workers=1, segment_seconds=160 / 44100)
    return folder


@pytest.fixture(scope="module")
def shard(source: Path) -> Path:
    (path,) = (source / "out").glob("*.parquet")
    return path


def rewritten(shard: Path, path: Path, row: int, place: int, metadata: dict[bytes, bytes] | None = None) -> None:
    """The same shard, with one code changed."""
    table = pq.read_table(shard)
    codes = table["codes"].to_pylist()
    codes[row][place] ^= 1
    at = table.schema.get_field_index("codes")
    table = table.set_column(at, table.schema.field("codes"), pa.array(codes, pa.list_(pa.uint16())))
    kept = dict(metadata or pq.read_metadata(shard).metadata)
    kept.pop(b"ARROW:schema")  # pyarrow writes it by itself
    pq.write_table(table.replace_schema_metadata(kept), path)


def read(path: Path) -> None:
    for signal in open_tokens(path):
        signal.read()


@given(row=st.integers(0, 5), place=st.integers(0, 17))
def test_a_changed_code_is_found_and_named(tmp_path: Path, shard: Path, row: int, place: int) -> None:
    assert pq.read_table(shard).num_rows == 6
    rewritten(shard, tmp_path / "x.parquet", row, place)
    with pytest.raises(TokensError, match=rf"row {row} of .*x\.parquet holds other codes than were written"):
        read(tmp_path / "x.parquet")


def test_rows_that_are_whole_can_be_read(tmp_path: Path, shard: Path) -> None:
    rewritten(shard, tmp_path / "x.parquet", 4, 3)
    damaged, whole = open_tokens(tmp_path / "x.parquet"), open_tokens(shard)
    np.testing.assert_array_equal(damaged[0].read(), whole[0].read())
    np.testing.assert_array_equal(damaged[1].read_frames(0, 20), whole[1].read_frames(0, 20))
    with pytest.raises(TokensError, match="row 4 of"):
        damaged[1].read_frames(20, 21)


def test_a_flipped_byte_gives_no_other_code(tmp_path: Path, shard: Path) -> None:
    """Wherever it is in the codes' part of the file."""
    codes = pq.ParquetFile(shard).metadata.row_group(0).column(12)
    assert codes.path_in_schema.startswith("codes")
    first = codes.dictionary_page_offset
    data, wanted, found = shard.read_bytes(), [signal.read() for signal in open_tokens(shard)], 0
    for at in range(first, first + codes.total_compressed_size):
        (tmp_path / "x.parquet").write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            came = [signal.read() for signal in open_tokens(tmp_path / "x.parquet")]
        except TokensError as error:
            assert "row " in str(error)
            assert "x.parquet" in str(error)
            found += 1
        else:
            assert all(map(np.array_equal, came, wanted))
    assert found > codes.total_compressed_size // 2


def test_a_shard_without_checksums_is_read(tmp_path: Path, shard: Path) -> None:
    metadata = {name: text for name, text in pq.read_metadata(shard).metadata.items() if name != b"streamrvq.crc32"}
    assert len(metadata) == len(pq.read_metadata(shard).metadata) - 1
    rewritten(shard, tmp_path / "x.parquet", 0, 0, metadata)
    read(tmp_path / "x.parquet")


@pytest.mark.parametrize("text", [b"", b"00", b"g" * 48, b"0" * 40 + b"  0000  ", b"\xff" * 48])
def test_checksums_of_other_rows_are_refused(tmp_path: Path, shard: Path, text: bytes) -> None:
    metadata = {**pq.read_metadata(shard).metadata, b"streamrvq.crc32": text}
    rewritten(shard, tmp_path / "x.parquet", 0, 0, metadata)
    with pytest.raises(TokensError, match="checksums that are not theirs"):
        read(tmp_path / "x.parquet")


def test_a_run_does_not_go_on_over_a_damaged_shard(tmp_path: Path, source: Path, weights: Path, shard: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(source / "out", out)
    rewritten(shard, out / shard.name, 2, 1)
    settings = {"workers": 1, "segment_seconds": 160 / 44100}
    with pytest.raises(CorpusError, match=rf"row 2 of .*{shard.name} .*: move .* away and run the same command again"):
        encode_corpus([source / "in"], out, weights, **settings)
    os.unlink(out / shard.name)
    assert encode_corpus([source / "in"], out, weights, **settings).written == 1
    assert (out / shard.name).read_bytes() == shard.read_bytes()
