"""Columns of manifests, from every format into the shards and out of the readers."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamrvq import CorpusError, InputError
from streamrvq.corpus import encode_corpus
from streamrvq.corpus.cluster import _shard
from streamrvq.corpus.columns import merged
from streamrvq.corpus.plan import Shard
from streamrvq.corpus.sources import Source, collect, find_sources
from streamrvq.tokens import open_tokens
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.corpora import rows_in

ROWS: list[dict[str, Any]] = [
    {"path": "a.wav", "text": "Grüße, “you”", "speaker": "007", "age": 3, "score": 0.5, "clean": True, "offset": 0},
    {"path": "b.wav", "text": 'a "quoted" word, and a comma', "speaker": None, "age": None, "score": 2, "clean": False},
    {"path": "c.wav", "text": "", "speaker": "x", "age": -4, "score": None, "clean": None},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate("abcd"):
        soundfile.write(tmp_path / f"{name}.wav", noise(400 + 100 * number, number), 44100)
    return tmp_path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def carried(folder: Path) -> dict[str, dict[str, Any]]:
    """The further columns of each file, as pyarrow reads them; the reader of the package must give the same."""
    ours = {"path", "channel", "segment", "offset", "num_samples", "source_rate", "start_frame", "frames",
            "n_quantizers", "sample_rate", "hop_length", "codec_hash", "codes"}  # fmt: skip
    rows = {Path(row["path"]).name: {name: row[name] for name in row.keys() - ours} for row in rows_in(folder)}
    assert {Path(signal.path).name: signal.columns for signal in open_tokens(folder)} == rows
    return rows


def test_json_lines(folder: Path, weights: Path) -> None:
    write_lines(folder / "list.jsonl", ROWS)
    done = encode_corpus([folder / "list.jsonl", folder / "d.wav"], folder / "out", weights, workers=1,
                         segment_seconds=0.005)  # fmt: skip
    nothing = dict.fromkeys(["text", "speaker", "age", "score", "clean"])
    assert done.rows > 4
    assert carried(folder / "out") == {
        row["path"]: nothing | {name: value for name, value in row.items() if name not in ("path", "offset")}
        for row in [*ROWS, {"path": "d.wav"}]
    }
    (schema,) = (pq.read_schema(path) for path in (folder / "out").glob("*.parquet"))
    kinds = {name: str(schema.field(name).type) for name in nothing}
    assert kinds == {"text": "string", "speaker": "string", "age": "int64", "score": "double", "clean": "bool"}
    assert encode_corpus([folder / "list.jsonl", folder / "d.wav"], folder / "out", weights, workers=1,
                         segment_seconds=0.005).written == 0  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_tables_are_text_as_written(folder: Path, weights: Path, suffix: str) -> None:
    comma = suffix == "csv"
    lines = ["path,text,speaker,offset", 'a.wav,"one, ""two""",007,0', "b.wav,,1e3,0.0", 'c.wav,"two\r\nlines",x,']
    if not comma:
        lines = ["speaker\tpath\ttext", '007\ta.wav\tan "open quote', '1e3\tb.wav\t"', "", "x\tc.wav\ta, b"]
    (folder / f"list.{suffix}").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    encode_corpus([folder / f"list.{suffix}"], folder / "out", weights, workers=1)
    text = ['one, "two"', None, "two\r\nlines"] if comma else ['an "open quote', '"', "a, b"]
    assert carried(folder / "out") == {
        name: {"text": said, "speaker": speaker}
        for name, said, speaker in zip(("a.wav", "b.wav", "c.wav"), text, ("007", "1e3", "x"), strict=True)
    }


def test_parquet(folder: Path, weights: Path) -> None:
    table = pa.table({"audio": ["a.wav", "b.wav"], "text": pa.array(["x", None]).dictionary_encode(),
                      "age": pa.array([1, 2], pa.int16()), "words": [["x"], []],
                      "at": pa.array([0, 1], pa.timestamp("s")), "none": pa.nulls(2)})  # fmt: skip
    pq.write_table(table, folder / "list.parquet")
    done = encode_corpus([folder / "list.parquet"], folder / "out", weights, workers=1)
    assert carried(folder / "out") == {
        "a.wav": {"text": "x", "age": 1, "none": None}, "b.wav": {"text": None, "age": 2, "none": None},
    }  # fmt: skip
    assert [item.reason for item in done.passed_over] == [
        "its column words has values of type list<element: string>, which no shard holds",
        "its column at has values of type timestamp[ms], which no shard holds",
    ]
    listed = (folder / "out" / "__run__" / "passed_over.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in listed] == [item.reason for item in done.passed_over]


def test_what_no_shard_holds_is_named(run: Run, folder: Path, weights: Path) -> None:
    """In some rows or in all; and names of a shard's own columns."""
    rows = [{"path": "a.wav", "words": ["x"], "sample_rate": 5, "codes": "z"}, {"path": "b.wav", "words": "y"}]
    write_lines(folder / "list.jsonl", rows)
    (folder / "._a.wav").touch()
    done = run("encode", folder / "list.jsonl", folder, "--codec", weights, "--shards", folder / "out", "--workers", 1)
    assert done.code == 0
    assert "its column words has lists or objects" in " ".join(done.err.split())
    assert "._a.wav (what a Mac keeps beside a file)" in " ".join(done.err.split())
    assert carried(folder / "out")["a.wav"] == {"manifest_sample_rate": 5, "manifest_codes": "z"}
    again = run("encode", folder / "list.jsonl", folder, "--codec", weights, "--shards", folder / "out", "--json")
    assert {Path(item["path"]).name for item in again.document["passed_over"]} == {"._a.wav", "list.jsonl"}


@pytest.mark.parametrize(
    "rows, words",
    [
        ([{"path": "a.wav", "n": 1}, {"path": "b.wav", "n": "x"}], "values of several kinds: a.wav has 1, and b.wav"),
        ([{"path": "a.wav", "n": True}, {"path": "b.wav", "n": 1}], "values of several kinds"),
        ([{"path": "a.wav", "n": 2**60}, {"path": "b.wav", "n": 1.5}], "not exact"),
        ([{"path": "a.wav", "n": 2**63}], "below 2\\^63"),
        ([{"path": "a.wav", "n": "\ud800"}], "Unicode"),
        ([{"path": "a.wav", "n" * 300: 1}], "short name"),
        ([{"path": "a.wav", "codes": 1, "manifest_codes": 2}], "a short name of its own"),
        ([{"path": "a.wav", "n": "x"}, {"path": "./a.wav", "n": "y"}], "named twice, with n 'x' and 'y'"),
    ],
)
def test_values_that_do_not_go_together(folder: Path, weights: Path, rows: list[dict[str, Any]], words: str) -> None:
    write_lines(folder / "list.jsonl", rows)
    with pytest.raises(InputError, match=words):
        encode_corpus([folder / "list.jsonl"], folder / "out", weights, workers=1)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "text, words",
    [
        ("path,text\na.wav\n", "line 2 .* has 1 values; wanted 2"),
        ("path,text\na.wav,b,c\n", "has 3 values"),
        ("path,x,x\na.wav,1,2\n", "several columns called x"),
        ('path,text\na.wav,"open\n', "no line of a table"),
        ("name,text\na.wav,b\n", "has the columns name, text"),
        ("path,offset\na.wav,1.5\n", "a piece of a.wav, from '1.5'"),
        ("path,offset\na.wav,soon\n", "a piece of a.wav"),
        ("path,text\n,b\n", "has path None"),
        ("", r"no sources were given.*: \S*x\.csv \(a manifest without rows\)"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        find_sources([tmp_path / "x.csv"])


@pytest.mark.parametrize(("suffix", "text"), [("csv", '"{}"'), ("tsv", "{}")])
def test_a_long_value_of_a_table_is_read(tmp_path: Path, suffix: str, text: str) -> None:
    """A line may have 4 million characters, and so may a value in it: Python's reader takes 131 072 by default."""
    delimiter, value = "\t" if suffix == "tsv" else ",", "x" * 3_000_000
    (tmp_path / f"x.{suffix}").write_text(f"path{delimiter}text\na.wav{delimiter}{text.format(value)}\n")
    (source,) = find_sources([tmp_path / f"x.{suffix}"])
    assert dict(source.columns) == {"text": value}


def test_the_line_of_a_table_that_is_wrong_is_named(tmp_path: Path) -> None:
    for wrong, words in ((b'"a"b,c', r"^line 3 of \S* is no line of a table"), (b"\xe9,c", r"^/\S* is no table")):
        (tmp_path / "x.csv").write_bytes(b"path,text\na.wav,b\n" + wrong + b"\nd.wav,e\n")
        with pytest.raises(InputError, match=words):
            find_sources([tmp_path / "x.csv"])


def test_an_object_with_two_paths_is_refused(tmp_path: Path) -> None:
    """JSON's readers keep the last of two values, so one of two files was lost."""
    nested = '{"path":"a.wav","more":{"x":1,"x":2}}'
    (tmp_path / "x.jsonl").write_text(nested + '\n{"path":"b.wav","text":"t","path":"c.wav"}\n')
    with pytest.raises(InputError, match=r"line 2 of .* has path twice"):
        find_sources([tmp_path / "x.jsonl"])
    (tmp_path / "x.jsonl").write_text(nested)
    assert [source.path for source in find_sources([tmp_path / "x.jsonl"])] == ["a.wav"]


def test_rows_that_add_to_each_other(folder: Path) -> None:
    write_lines(folder / "one.jsonl", [{"path": "a.wav", "text": "x", "age": None}])
    write_lines(folder / "two.jsonl", [{"path": "a.wav", "age": 3, "text": "x"}])
    (folder / "three.csv").write_text(",path,speaker\n0,a.wav,s\n")  # as pandas writes it
    files, passed = collect([folder / "one.jsonl", folder / "two.jsonl", folder / "three.csv"])
    size = (folder / "a.wav").stat().st_size
    assert files == [Source("a.wav", str(folder / "a.wav"), size, (("age", 3), ("speaker", "s"), ("text", "x")))]
    assert [item.reason for item in passed] == ["its column (unnamed) has values without a name, which no shard holds"]


def test_what_is_no_number_in_two_manifests_is_the_same(folder: Path, weights: Path) -> None:
    """In JSON lines and in Parquet, and when the run goes on."""
    row = {"path": "a.wav", "snr": float("nan"), "gain": float("inf")}
    write_lines(folder / "one.jsonl", [row, row])
    pq.write_table(pa.table({name: [value, value] for name, value in row.items()}), folder / "two.parquet")
    lists = [folder / "one.jsonl", folder / "two.parquet"]
    for again in (False, True):
        encode_corpus(lists, folder / "out", weights, workers=1)
        (columns,) = (dict(source.columns) for source in find_sources(lists))
        assert (str(columns["snr"]), columns["gain"]) == ("nan", float("inf")), again
    write_lines(folder / "three.jsonl", [row | {"snr": 1.5}])
    with pytest.raises(InputError, match=r"named twice, with snr nan and 1\.5"):
        find_sources([*lists, folder / "three.jsonl"])


VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=3)


@example({"a": float("nan")})
@given(st.dictionaries(st.sampled_from("abcd"), VALUES))
def test_a_row_that_comes_twice_adds_nothing(row: dict[str, Any]) -> None:
    columns, other = (tuple(sorted((name, copied(value)) for name, value in row.items())) for _ in range(2))
    assert str(merged("a.wav", columns, other)) == str(columns)


def copied(value: Any) -> Any:
    """A float of its own: a NaN is in a tuple where it lies, and equals no other."""
    return struct.unpack("d", struct.pack("d", value))[0] if isinstance(value, float) else value


def test_growing_with_other_columns(folder: Path, weights: Path) -> None:
    """None where new sources say nothing; a column that the run lacks is refused, and so are other values."""
    out = folder / "out"
    write_lines(folder / "one.jsonl", [{"path": "a.wav", "text": "x", "score": 1.5}])
    encode_corpus([folder / "one.jsonl"], out, weights, workers=1)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for row, words in (
        ({"speaker": "s"}, "the column speaker, which the run was begun without"),
        ({"text": 5}, "values of several kinds"),
    ):
        write_lines(folder / "two.jsonl", [{"path": "b.wav"} | row])
        with pytest.raises((CorpusError, InputError), match=words):
            encode_corpus([folder / "one.jsonl", folder / "two.jsonl"], out, weights, workers=1)
    write_lines(folder / "one.jsonl", [{"path": "a.wav", "text": "corrected", "score": 1.5}])
    with pytest.raises(CorpusError, match=r"columns of a\.wav are others"):
        encode_corpus([folder / "one.jsonl"], out, weights, workers=1)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_lines(folder / "one.jsonl", [{"path": "a.wav", "score": 1.5, "text": "x"}])
    write_lines(folder / "two.jsonl", [{"path": "b.wav", "score": 2, "other": None}])
    encode_corpus([folder / "one.jsonl", folder / "two.jsonl", folder / "c.wav"], out, weights, workers=1)
    assert carried(out) == {"a.wav": {"text": "x", "score": 1.5}, "b.wav": {"text": None, "score": 2.0},
                            "c.wav": {"text": None, "score": None}}  # fmt: skip


KINDS = [st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.floats(allow_nan=False),
         st.none() | st.booleans(), st.none() | st.text(st.characters(exclude_categories=["Cs"]))]  # fmt: skip


@settings(max_examples=15)
@given(data=st.data())
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, weights: Path, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("columns")
    names = data.draw(st.lists(st.text("abc_", min_size=1, max_size=4), unique=True, max_size=3))
    kinds = {name: data.draw(st.sampled_from(KINDS)) for name in names}
    rows = []
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", noise(100, number), 44100)
        rows.append({"file_name": f"{number}.wav"} | {name: data.draw(kind) for name, kind in kinds.items()})
    write_lines(folder / "list.jsonl", rows)
    encode_corpus([folder / "list.jsonl"], folder / "out", weights, workers=1, pack=data.draw(st.booleans()))
    for signal, row in zip(open_tokens(folder / "out"), rows, strict=True):
        assert signal.path == row.pop("file_name")
        assert repr(sorted(signal.columns.items())) == repr(sorted(row.items()))


def test_a_shard_goes_to_a_cluster_with_its_columns() -> None:
    """As text, which Ray's tables hold."""
    source = Source("a", "/a", 3, (("age", 3), ("on", True), ("score", None), ("text", "x")))
    shard = Shard(4, 7, (source, Source("b", "/b", 0)), "digest")
    assert _shard(json.dumps(dataclasses.asdict(shard))) == shard
