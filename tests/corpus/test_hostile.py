"""Hostile manifests, records of runs and summaries of shards: refused in one line, in little memory."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError
from streamrvq.corpus import plan_file
from streamrvq.corpus.shard import ShardSummary
from streamrvq.corpus.sources import find_sources
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.parquet_files import broken_parquet, written
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets

RIGHT = {name: targets()[name].seeds()[0] for name in ("manifest-table", "run-record", "shard-summary")}
COMMAS = targets()["manifest-commas"].seeds()
ROW = {"path": "a.wav", "offset": 0, "text": "a"}


@given(data=st.data())
def test_a_line_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("manifest-lines", json.dumps(ROW).encode() + b"\n" + data.draw(broken_json(ROW)))


@given(data=st.data())
def test_a_table_with_commas_and_one_change(data: st.DataObject) -> None:
    assert_survives("manifest-commas", data.draw(one_change(data.draw(st.sampled_from(COMMAS)))))


@given(data=st.data())
def test_a_table_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("manifest-table", data.draw(broken_parquet(RIGHT["manifest-table"])))


@pytest.mark.parametrize("line", [b'{"path":"a\\u0000b.wav"}', b'{"path":"\\ud800.wav"}', b'{"path":"\xe9"}',
                                  b'{"path":"a","offset":' + b"9" * 400 + b"}", b'{"path":5}',
                                  b"[" * 100_000])  # fmt: skip
def test_lines_that_name_no_file(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"path":"a.wav"}\n' + line)
    with pytest.raises(InputError, match=r"m\.jsonl") as caught:
        find_sources([tmp_path / "m.jsonl"])
    assert str(caught.value).isprintable()


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("a\0b.wav", "\ud800.wav", ""):
        with pytest.raises(InputError, match="no file can be named so"):
            find_sources([name])


def test_a_long_line_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'{"path":"a.wav"}\n{"path":"b.wav","text":"' + b"a" * (5 << 20) + b'"}\n')
    with pytest.raises(InputError, match=r"line 2 of .* is longer than"):
        find_sources([tmp_path / "m.jsonl"])


def test_a_small_table_of_many_rows_is_refused(tmp_path: Path) -> None:
    rows = 1_000_000
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), pa.array(["a.wav"]))
    (tmp_path / "m.parquet").write_bytes(written(pa.table({"path": shared})))
    with pytest.raises(InputError, match="claims 1000000 rows"):
        find_sources([tmp_path / "m.parquet"])


def test_a_long_text_that_rows_share_is_not_copied() -> None:
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 9000, pa.int16()), pa.array(["a" * 1_000_000]))
    table = pa.table({"path": shared, "x": list(range(9000))})
    assert_survives("manifest-table", written(table, compression="zstd"))


def test_a_table_in_several_row_groups_is_read(tmp_path: Path) -> None:
    paths = [f"{number}.wav" for number in range(5000)]
    pq.write_table(pa.table({"path": paths}), tmp_path / "m.parquet", row_group_size=1500)
    assert sorted(source.path for source in find_sources([tmp_path / "m.parquet"])) == sorted(paths)


def signed(run: str, plan: list[str]) -> bytes:
    """A record whose digest is right, so that what it says is looked at."""
    try:
        recorded = json.loads(run)
        head = {name: recorded[name] for name in ("format", "version", "streamrvq", "settings", "shard_bytes")}
        recorded["digest"] = plan_file._digest(head, 0, plan)
        run = json.dumps(recorded)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return "\n".join([run, *plan, ""]).encode("utf-8", "surrogatepass")


@given(data=st.data())
def test_a_run_with_one_thing_broken(data: st.DataObject) -> None:
    run, _, plan = RIGHT["run-record"].partition(b"\n")
    broken = data.draw(broken_json(json.loads(run))).decode("utf-8", "replace").replace("\n", " ")
    assert_survives("run-record", signed(broken, plan.decode().splitlines()))


@given(data=st.data())
def test_a_plan_with_one_thing_broken(data: st.DataObject) -> None:
    run, *plan = RIGHT["run-record"].decode().splitlines()
    at = data.draw(st.integers(0, len(plan) - 1))
    plan[at] = data.draw(broken_json(json.loads(plan[at]))).decode("utf-8", "replace").replace("\n", " ")
    assert_survives("run-record", signed(run, plan))


@given(data=st.data())
def test_a_record_with_one_change(data: st.DataObject) -> None:
    assert_survives("run-record", data.draw(one_change(RIGHT["run-record"])))


@given(data=st.data())
def test_a_summary_with_one_thing_broken(data: st.DataObject) -> None:
    assert_survives("shard-summary", data.draw(broken_json(json.loads(RIGHT["shard-summary"]))))


@pytest.mark.parametrize(
    "sizes", [5, [5], [[1]], [[1, 2, 3]], [[1, -2]], [[0.5, 2]], [[True, 2]], [["a", 2]], [[0, 2**63]]]
)
def test_sizes_that_no_file_has(sizes: object) -> None:
    values = json.loads(RIGHT["shard-summary"])
    assert ShardSummary.from_json(json.dumps(values | {"sizes": [[0, 5]]})).sizes == ((0, 5),)
    assert json.loads(ShardSummary.from_json(json.dumps(values)).to_json()) == values
    with pytest.raises((ValueError, TypeError)):
        ShardSummary.from_json(json.dumps(values | {"sizes": sizes}))
