"""Small files of tokens that would take much memory or time once they are parsed or unpacked."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamrvq import TokensError
from streamrvq.tokens import TokenFile, open_tokens, read_tokens, shard_index, write_tokens
from streamrvq.tokens.footer import row_groups, unpacked
from streamrvq.tokens.journal import TokenJournal, recover
from streamrvq.tokens.limits import MOST_GAPS
from tests.support.fuzzing.parquet_files import written
from tests.support.fuzzing.safetensors_files import put_together, taken_apart
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets
from tools.fuzzing.targets.tokens import EMPTY, journal_parts, record

TOKENS = targets()["tokens"].seeds()[-1]
SHARD = targets()["shard"].seeds()[-1]
HEAD, _ = journal_parts()


def with_gaps(text: str) -> bytes:
    header, data = taken_apart(TOKENS)
    header["__metadata__"]["gaps"] = text
    return put_together(json.dumps(header), data)


@pytest.mark.parametrize("one", ["[1,1]", "[]", "{}"])
@pytest.mark.parametrize("count", [MOST_GAPS + 1, 3_000_000])
def test_millions_of_gaps_are_refused(tmp_path: Path, one: str, count: int) -> None:
    file = with_gaps("[" + ",".join([one] * count) + "]")
    assert_survives("tokens", file)
    (tmp_path / "x.safetensors").write_bytes(file)
    with pytest.raises(TokensError, match=rf"header of \d+ bytes; wanted at most|{count} gaps, of which"):
        read_tokens(tmp_path / "x.safetensors")


def test_as_many_gaps_as_there_may_be_come_back(tmp_path: Path) -> None:
    import dataclasses

    file = dataclasses.replace(EMPTY, gaps=((2**63 - 1, 2**63 - 1),) * MOST_GAPS)
    write_tokens(tmp_path / "x.safetensors", file)
    assert len(read_tokens(tmp_path / "x.safetensors").gaps) == MOST_GAPS


@pytest.mark.parametrize(
    "values", [{"codec": "x" * 70_000}, {"gaps": ((1, 1),) * (MOST_GAPS + 1)}], ids=["name", "gaps"]
)
def test_what_could_not_be_read_again_is_not_written(values: dict[str, Any]) -> None:
    right: dict[str, Any] = {"codes": np.zeros((3, 1), np.int64), "codec": "c", "codec_hash": "h", "trained": True,
                             "sample_rate": 1, "hop_length": 1, "source_rate": 1, "num_samples": 1}  # fmt: skip
    with pytest.raises(TokensError, match="wanted"):
        TokenFile(**(right | values))


def test_a_file_of_terabytes_is_read_in_parts_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    header, _ = taken_apart(TOKENS)
    header["codes"] = {"dtype": "U16", "shape": [1, 1 << 39], "data_offsets": [0, 1 << 40]}
    start = put_together(json.dumps(header), b"")
    with open(tmp_path / "x.safetensors", "wb") as file:
        file.write(start)
        file.truncate(len(start) + (1 << 40))
    (signal,) = open_tokens(tmp_path / "x.safetensors")
    assert signal.frames == 1 << 39
    assert signal.read_frames(1 << 38, (1 << 38) + 3).tolist() == [[0, 0, 0]]
    empty = np.empty

    def refused(size: Any, *settings: Any) -> Any:
        if np.prod(size) > 1 << 38:
            raise MemoryError
        return empty(size, *settings)

    monkeypatch.setattr(np, "empty", refused)  # some systems promise any amount of memory
    with pytest.raises(TokensError, match="more memory than there is"):
        read_tokens(tmp_path / "x.safetensors")
    assert capfd.readouterr().err == ""


def test_a_journal_whose_first_line_has_millions_of_lists_is_refused() -> None:
    assert_survives("journal", b"[" + b"[]," * 7_000_000 + b"1]\n")


def test_a_journal_keeps_what_no_token_file_could_hold(tmp_path: Path) -> None:
    journal = tmp_path / "x.safetensors.journal"
    gap = record(2, struct.pack("<QQ", 1, 1))
    journal.write_bytes(json.dumps(HEAD).encode() + b"\n" + gap * (MOST_GAPS + 1))
    with pytest.raises(TokensError, match=f"more than {MOST_GAPS} gaps"):
        recover(journal)
    assert [path.name for path in tmp_path.iterdir()] == [journal.name]


def test_a_recording_takes_no_more_gaps_than_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrvq.tokens.journal.MOST_GAPS", 2)
    journal = TokenJournal(tmp_path / "x.safetensors", EMPTY)
    journal.gap(0, 1)
    journal.gap(1, 1)
    with pytest.raises(TokensError, match="2 gaps at most; end it"):
        journal.gap(2, 1)
    assert len(journal.finish(9).gaps) == 2


def test_a_record_of_a_kind_that_no_recorder_writes_is_not_passed_over(tmp_path: Path) -> None:
    journal = tmp_path / "x.safetensors.journal"
    journal.write_bytes(json.dumps(HEAD).encode() + b"\n" + record(7, b"abc"))
    with pytest.raises(TokensError, match="record of kind 7"):
        recover(journal)


# --- shards


def table(rows: int) -> pa.Table:
    """Rows without codes."""
    first = pq.read_table(io.BytesIO(SHARD)).slice(0, 1).to_pydict()
    first |= {"segment": [0], "start_frame": [0], "frames": [0], "codes": [[]]}
    schema = pq.read_schema(io.BytesIO(SHARD)).remove_metadata()
    about = {b"streamrvq": pq.read_schema(io.BytesIO(SHARD)).metadata[b"streamrvq"]}
    whole = pa.table({name: pa.array(values * rows, schema.field(name).type) for name, values in first.items()},
                     schema=schema)  # fmt: skip
    return whole.replace_schema_metadata(about)


def refused(tmp_path: Path, file: bytes, said: str) -> None:
    assert_survives("shard", file)
    (tmp_path / "shard.parquet").write_bytes(file)
    with pytest.raises(TokensError, match=said):
        [signal.read() for signal in open_tokens(tmp_path / "shard.parquet")]


def test_a_few_bytes_of_paths_that_unpack_to_many_are_refused(tmp_path: Path) -> None:
    rows = table(8)
    paths = pa.array([letter * 10_000_000 for letter in "abcdefgh"])
    rows = rows.set_column(rows.schema.get_field_index("path"), "path", paths)
    refused(tmp_path, written(rows, compression="zstd"), "of which its index would make 80")


def test_a_small_shard_of_many_rows_is_refused(tmp_path: Path) -> None:
    rows = table(400_000)
    rows = rows.replace_schema_metadata({**rows.schema.metadata, b"more": b"x" * 500_000})
    refused(tmp_path, written(rows, compression="zstd"), "claims 400000 rows")


def test_codes_whose_pages_take_more_than_codes_do_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_index, "_UNPACKED_PER_CODE", -(1 << 30))
    (tmp_path / "shard.parquet").write_bytes(SHARD)
    with pytest.raises(TokensError, match="codes in a row group that would take"):
        [signal.read() for signal in open_tokens(tmp_path / "shard.parquet")]


@pytest.mark.parametrize("key", [b"streamrvq", b"streamrvq.shard"])
def test_metadata_of_millions_of_lists_is_not_parsed(tmp_path: Path, key: bytes) -> None:
    rows = table(1)
    metadata = {**rows.schema.metadata, key: b"[" + b"[]," * 3_000_000 + b"1]"}
    (tmp_path / "shard.parquet").write_bytes(written(rows.replace_schema_metadata(metadata)))
    if key == b"streamrvq":
        with pytest.raises(TokensError, match="no shard of tokens"):
            len(open_tokens(tmp_path / "shard.parquet"))
    assert_survives("shard", written(rows.replace_schema_metadata(metadata)))


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}], ids=str)
def test_pages_say_what_they_unpack_to(tmp_path: Path, compression: str, options: dict[str, Any]) -> None:
    text = ["x" * (number % 5000) for number in range(9000)]
    pq.write_table(pa.table({"x": text}), tmp_path / "x.parquet", compression=compression, data_page_size=50_000,
                   row_group_size=4000, **options)  # fmt: skip
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    for number, group in enumerate(row_groups(tmp_path / "x.parquet", "x")["x"]):
        sizes = unpacked(tmp_path / "x.parquet", [group])
        assert sizes
        assert (
            0 <= metadata.row_group(number).column(0).total_uncompressed_size - sum(sizes) < 200 * len(sizes) + 20_000
        )
