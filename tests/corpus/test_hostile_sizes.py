"""Small manifests and records of runs that would take much memory once they are parsed or unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamrvq import InputError
from streamrvq.corpus import record as records
from streamrvq.corpus.sources import find_sources
from tests.support.fuzzing.parquet_files import written
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets

RUN, _, PLAN = targets()["run-record"].seeds()[0].partition(b"\n")
LONG = 20_000_000


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}], ids=["dictionary", "plain"])
def test_pages_that_unpack_to_much_more_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    file = written(pa.table({"path": [letter * LONG for letter in "abcdefgh"]}), compression="zstd", **options)
    assert_survives("manifest-table", file)
    (tmp_path / "m.parquet").write_bytes(file)
    with pytest.raises(InputError, match="a page of more than"):
        find_sources([tmp_path / "m.parquet"])


def test_texts_that_share_their_beginning_are_not_all_held() -> None:
    """Delta encoding: no page is large, and nothing is compressed."""
    table = pa.table({"path": ["a" * 1_000_000 + str(number) for number in range(1000)]})
    options = {"use_dictionary": False, "column_encoding": {"path": "DELTA_BYTE_ARRAY"}}
    assert_survives("manifest-table", written(table, **options))


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_tables_of_any_encoding_are_read(tmp_path: Path, encoding: str) -> None:
    paths = [f"{number}.wav" for number in range(3000)]
    pq.write_table(pa.table({"path": paths}), tmp_path / "m.parquet", use_dictionary=False, row_group_size=700,
                   column_encoding={"path": encoding})  # fmt: skip
    assert sorted(source.path for source in find_sources([tmp_path / "m.parquet"])) == sorted(paths)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array(["a.wav"]), pa.array(["b.wav"])], names=["path", "path"])
    pq.write_table(table, tmp_path / "m.parquet")
    with pytest.raises(InputError, match="several columns called path"):
        find_sources([tmp_path / "m.parquet"])


def test_a_column_of_structs_is_named_with_its_type(tmp_path: Path) -> None:
    """As datasets of audio hold them."""
    pq.write_table(pa.table({"audio": [{"bytes": b"x", "path": "a.wav"}]}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="has audio of type struct"):
        find_sources([tmp_path / "m.parquet"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"audio":{"path":"a.wav"}}', "has lists or objects in audio; wanted a file's path as text"),
        ('{"path":["a.wav"]}', "has lists or objects in path; wanted"),
        ('{"path":"a.wav","offset":[0]}', "has lists or objects in offset; wanted zero"),
    ],
)
def test_lists_and_objects_where_others_are_wanted_are_named(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(InputError, match=words):
        find_sources([tmp_path / "m.jsonl"])


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="this pyarrow has no such type")
def test_text_of_every_type_is_text(tmp_path: Path) -> None:
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        table = pa.table({"path": pa.array(["a.wav"], kind), "text": pa.array(["x"], kind)})
        pq.write_table(table, tmp_path / "m.parquet")
        (source,) = find_sources([tmp_path / "m.parquet"])
        assert source.columns == (("text", "x"),)


@pytest.mark.parametrize(
    "line", ['{"path":"' + "a" * 40_000 + '"}', '{"path":"a.wav","offset":NaN}'], ids=["long", "NaN"]
)
def test_lines_that_name_no_whole_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(InputError, match="row 1 of"):
        find_sources([tmp_path / "m.jsonl"])


@pytest.mark.parametrize("run, plan", [
    (b"[" + b"[]," * 7_000_000 + b"1]", PLAN), (RUN, b"\n" * LONG), (RUN, b"ab\n" * (LONG // 3)),
    (RUN, b'{"x":[' + b"[]," * 7_000_000 + b"1]}\n"),
], ids=["run", "empty lines", "short lines", "a long line"])  # fmt: skip
def test_a_record_that_would_take_much_memory_is_refused(run: bytes, plan: bytes) -> None:
    assert_survives("run-record", run + b"\n" + plan)


def test_a_file_of_the_record_that_has_no_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="a pipe or a device"):
        records._text(tmp_path / "run.json", 10)
