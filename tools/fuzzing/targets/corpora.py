"""Manifests of audio files, and the record of a bulk run."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path

from streamrvq.corpus.record import Record
from streamrvq.corpus.settings import Settings
from streamrvq.corpus.shard import verified_summary
from streamrvq.corpus.sources import Source, find_sources
from streamrvq.tokens.schema import SHARD_KEY, arrow, parquet

from ..small import codec
from ..target import Target, scratch, written
from .tokens import corpus

_SOURCES = [Source(f"{name}.wav", f"/nowhere/{name}.wav", 10) for name in "abc"]


def _read_lines(data: bytes) -> None:
    find_sources([written("manifest.jsonl", data)])


def _line_seeds() -> list[bytes]:
    return [b'{"path": "a.wav", "text": "a"}\n\n{"path": "b/c.flac"}\n', b'{"audio_filepath": "a.wav", "offset": 0}\n']


def _read_commas(data: bytes) -> None:
    find_sources([written("manifest.csv", data)])


def _comma_seeds() -> list[bytes]:
    return [b'path,text,offset\na.wav,"one, ""two""",0\n', b"\xef\xbb\xbffile,age\r\nb.wav,3\r\n"]


def _read_table(data: bytes) -> None:
    find_sources([written("manifest.parquet", data)])


def _table_seeds() -> list[bytes]:
    path = scratch("seed.parquet")
    parquet().write_table(arrow().table({"path": ["a.wav", "b.wav", "a.wav"], "offset": [0.0, None, 0.0]}), path)
    return [path.read_bytes()]


@lru_cache(maxsize=1)
def _settings() -> Settings:
    return Settings.make("small", codec())


def _read_record(data: bytes) -> None:
    """The first line is run.json, the others are plan.jsonl."""
    folder = scratch("run")
    (folder / "__run__").mkdir(parents=True, exist_ok=True)
    run, _, plan = data.partition(b"\n")
    (folder / "__run__" / "run.json").write_bytes(run)
    (folder / "__run__" / "plan.jsonl").write_bytes(plan)
    with Record(folder, _settings(), _SOURCES, "1", None) as record:
        assert sum(len(shard.sources) for shard in record.shards) == len(_SOURCES)


def _record_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        Record(Path(folder), _settings(), _SOURCES, "1", None).__exit__()
        run, plan = ((Path(folder) / "__run__" / name).read_text() for name in ("run.json", "plan.jsonl"))
    return [f"{json.dumps(json.loads(run))}\n{plan}".encode()]


@lru_cache(maxsize=1)
def _run() -> tuple[Path, Record]:
    """A finished run of one shard."""
    folder = scratch("finished")
    folder.mkdir()
    shards = corpus(folder)
    settings = Settings.make(folder / "small.safetensors", codec(), segment_seconds=0.01)
    recorded = json.loads((shards / "__run__" / "run.json").read_text())
    with Record(shards, settings, find_sources([folder / "in"]), recorded["streamrvq"], None) as record:
        return shards / record.shards[0].name, record


def _read_summary(data: bytes) -> None:
    """A right shard with another summary."""
    path, record = _run()
    table = parquet().read_table(path)
    other = scratch("summary.parquet")
    parquet().write_table(table.replace_schema_metadata({**table.schema.metadata, SHARD_KEY: data}), other)
    summary = verified_summary(other, record.shards[0])
    json.dumps(summary.to_json(), allow_nan=False)


def _summary_seeds() -> list[bytes]:
    return [parquet().read_metadata(_run()[0]).metadata[SHARD_KEY]]


TARGETS = (
    Target("manifest-lines", "a manifest: JSON lines", _read_lines, _line_seeds),
    Target("manifest-commas", "a manifest: a table with commas", _read_commas, _comma_seeds),
    Target("manifest-table", "a manifest: Parquet", _read_table, _table_seeds),
    Target("run-record", "a run's record: run.json in one line, then plan.jsonl", _read_record, _record_seeds),
    Target("shard-summary", "what a shard says that it holds: JSON", _read_summary, _summary_seeds),
)
