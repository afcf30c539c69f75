"""Hostile token files, journals and shards: refused in one line, or read like any other, in little memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import TokensError
from streamrvq.tokens import TokenFile, open_tokens, read_tokens
from streamrvq.tokens.journal import recover
from tests.support.fuzzing.json_text import HOSTILE, broken_json
from tests.support.fuzzing.parquet_files import broken_parquet, written
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.safetensors_files import broken_safetensors, put_together, taken_apart
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets
from tools.fuzzing.targets.tokens import journal_parts, record

RIGHT = {name: targets()[name].seeds()[-1] for name in ("tokens", "journal", "shard", "packed-shard", "dac")}
HEAD, RECORDS = journal_parts()


@given(data=st.data())
def test_a_token_file_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("tokens", data.draw(broken_safetensors(RIGHT["tokens"])))


@given(data=st.data())
def test_a_packed_shard_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("packed-shard", data.draw(broken_parquet(RIGHT["packed-shard"])))


@given(data=st.data())
def test_a_dac_file_with_one_change(data: st.DataObject) -> None:
    assert_survives("dac", data.draw(one_change(RIGHT["dac"])))


def token_file(**metadata: str) -> bytes:
    header, data = taken_apart(RIGHT["tokens"])
    header["__metadata__"].update(metadata)
    return put_together(json.dumps(header), data)


@pytest.mark.parametrize("name", ["num_samples", "source_rate", "sample_rate", "hop_length", "start"])
@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000, "1e3", "nan", " 5 ", "٣", "", "-1", str(2**63)])
def test_numbers_that_no_token_file_has(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(token_file(**{name: text}))
    with pytest.raises(TokensError):
        read_tokens(tmp_path / "x.safetensors")


@pytest.mark.parametrize("gaps", [*HOSTILE, "[[1]]", "[[1,2,3]]", "[[1e400,1]]", "[[NaN,1]]", '[["1","2"]]',
                                  f"[[0,{'9' * 400}]]", "[[true,1]]", "[[0,0]]"])  # fmt: skip
def test_gaps_that_no_token_file_has(gaps: str) -> None:
    assert_survives("tokens", token_file(gaps=gaps))


@pytest.mark.parametrize("shape", [[2**62, 0], [0, 2**62], [1] * 65, [], [1], [9, 1, 1], [0, 1], [2**40, 0]])
def test_shapes_that_no_token_file_has(tmp_path: Path, shape: list[int]) -> None:
    header, _ = taken_apart(RIGHT["tokens"])
    size = 2 * int(np.prod(shape, dtype=object))
    header["codes"] = {"dtype": "U16", "shape": shape, "data_offsets": [0, size]}
    (tmp_path / "x.safetensors").write_bytes(put_together(json.dumps(header), bytes(size)))
    with pytest.raises(TokensError):
        read_tokens(tmp_path / "x.safetensors")


@pytest.mark.parametrize("values", [{"codec": "\ud800"}, {"codec": 5}, {"trained": "x"}, {"sample_rate": 0.5},
                                    {"hop_length": True}, {"source_rate": 10**5000}, {"tail": ["pad"]},
                                    {"gaps": ([1],)}, {"num_samples": 2**63}, {"resampler": 5}])  # fmt: skip
def test_values_that_no_token_file_holds(values: dict[str, Any]) -> None:
    right: dict[str, Any] = {"codes": np.zeros((3, 1), np.int64), "codec": "c", "codec_hash": "h", "trained": True,
                             "sample_rate": 1, "hop_length": 1, "source_rate": 1, "num_samples": 1}  # fmt: skip
    with pytest.raises(TokensError, match="wanted") as caught:
        TokenFile(**(right | values))
    assert str(caught.value).isprintable()


@given(data=st.data())
def test_a_journal_with_a_broken_head(data: st.DataObject) -> None:
    rest = b"".join(record(*one) for one in RECORDS)
    assert_survives("journal", data.draw(broken_json(HEAD)) + b"\n" + rest)


@given(data=st.data())
def test_a_journal_with_a_broken_record_under_a_right_check(data: st.DataObject) -> None:
    records = list(RECORDS)
    at = data.draw(st.integers(0, len(records) - 1))
    kind, payload = records[at]
    if data.draw(st.booleans()):
        kind = data.draw(st.integers(0, 255))
    records[at] = kind, data.draw(one_change(payload) | st.binary(max_size=40))
    assert_survives("journal", json.dumps(HEAD).encode() + b"\n" + b"".join(record(*one) for one in records))


@given(data=st.data())
def test_a_journal_with_one_change(data: st.DataObject) -> None:
    assert_survives("journal", data.draw(one_change(RIGHT["journal"])))


@pytest.mark.parametrize("kind, size", [(1, 7), (1, 10), (2, 1), (2, 17), (3, 1), (3, 9)])
def test_a_record_of_another_size_is_refused_and_the_journal_stays(tmp_path: Path, kind: int, size: int) -> None:
    journal = tmp_path / "a.safetensors.journal"
    journal.write_bytes(json.dumps(HEAD).encode() + b"\n" + record(kind, bytes(size)))
    with pytest.raises(TokensError, match=f"record of kind {kind} with {size} bytes at byte .* cut the file there"):
        recover(journal)
    assert [path.name for path in tmp_path.iterdir()] == [journal.name]


@given(data=st.data())
def test_a_shard_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("shard", data.draw(broken_parquet(RIGHT["shard"])))


def edited(tmp_path: Path, **columns: pa.Array) -> Path:
    table = pq.read_table(io.BytesIO(RIGHT["shard"]))
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, values)
    (tmp_path / "shard.parquet").write_bytes(written(table))
    return tmp_path / "shard.parquet"


ROWS = pq.read_table(io.BytesIO(RIGHT["shard"])).num_rows


@pytest.mark.parametrize("columns", [
    {"hop_length": pa.array([0] * ROWS, pa.int32())}, {"codes": None}, {"path": pa.array([None] * ROWS, pa.string())},
    {"frames": pa.array([[1]] * ROWS)}, {"codes": pa.array([None] * ROWS, pa.list_(pa.uint16()))},
    {"segment": pa.array([1] * ROWS, pa.int32())}, {"start_frame": pa.array([5] * ROWS)},
    {"frames": pa.array([2**31 - 1] * ROWS, pa.int32())}, {"source_rate": pa.array([0] * ROWS, pa.int32())},
    {"num_samples": pa.array([2**63 - 1] * ROWS)}, {"n_quantizers": pa.array([-9] * ROWS, pa.int16())},
], ids=" and ".join)  # fmt: skip
def test_rows_that_no_shard_has(tmp_path: Path, columns: dict[str, pa.Array]) -> None:
    with pytest.raises(TokensError, match=r"shard\.parquet"):
        [signal.read() for signal in open_tokens(edited(tmp_path, **columns))]


def test_a_small_shard_that_claims_many_codes_is_refused_before_they_are_read(tmp_path: Path) -> None:
    frames = 100_000_000
    table = pq.read_table(io.BytesIO(RIGHT["shard"])).slice(0, 1)
    values = {"frames": pa.array([frames], pa.int32()), "segment": pa.array([0], pa.int32())}
    for name, column in values.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    (tmp_path / "shard.parquet").write_bytes(written(table.replace_schema_metadata(
        {key: value for key, value in table.schema.metadata.items() if key != b"streamrvq.crc32"})))  # fmt: skip
    with pytest.raises(TokensError, match="bytes and claims 300000000 codes"):
        open_tokens(tmp_path / "shard.parquet")[0].read()
