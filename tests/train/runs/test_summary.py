"""What a run's folder says of itself, when something in its log or its record is broken: all of it, or one sentence.

Knows: a real log and a real record, and how JSON breaks. Does not know: training.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.errors import ConfigError
from streamrvq.train.runs.folder import CHECKPOINT, LOG, RECORD, RECORDS, open_folder
from streamrvq.train.runs.log import Log
from streamrvq.train.runs.record import DataFile, Record
from streamrvq.train.runs.summary import facts_of, lines_of
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tools.training.record import log

FIGURES = {"mel": 1.5, "stft": 2.0, "compressed": 0.5, "wave": 0.01, "si_sdr": 3.0, "energy": -0.1,
           "estoi": float("nan"), "used": [1.0, 0.5], "entropy": [3.0, 2.5]}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"event": "data", "files": 2, "minutes": 0.1, "validation": "given", "validation_files": ["b.wav"]},
    {"event": "continued", "changes": ["lr 0.003 → 0.001"]}, {"event": "made", "what": "codebooks", "frames": 256},
    {"event": "train", "lr": 1e-3, "speed": 2.5, "mel": 1.7}, {"event": "validation", **FIGURES},
    {"event": "checkpoint", "weights": None}, {"event": "export", "path": "x", "codec_hash": "ab", "exact": FIGURES},
]  # fmt: skip


def written(make: Callable[[Path], None]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        return {str(path.relative_to(name)): path.read_bytes() for path in Path(name).rglob("*") if path.is_file()}


def run(folder: Path) -> None:
    (folder / RECORDS).mkdir()
    (folder / CHECKPOINT).touch()
    files = tuple(DataFile(use, path, "speech", 2.5, "ab" * 32) for use, path in (("train", "a"), ("validation", "b")))
    Record("mine", "tiny", 44100, "given", "cd" * 32, files).save(folder)
    for step, values in enumerate(EVENTS):
        Log(folder / LOG).write({"step": step, "audio_seconds": 1.5 * step, "train_seconds": 2.0 * step, **values})


RUN = written(run)
ROWS = [json.loads(line) for line in RUN[LOG].splitlines()]
DATA = f"{RECORDS}/data.jsonl"
FILES = [json.loads(line) for line in RUN[DATA].splitlines()]
HEAD = json.loads(RUN[RECORD])


def assert_told(changes: dict[str, bytes]) -> bool:
    """Whether the facts of such a run are told; else it is refused in one line."""
    with tempfile.TemporaryDirectory() as name:
        for path, data in (RUN | changes).items():
            (Path(name) / path).parent.mkdir(exist_ok=True)
            (Path(name) / path).write_bytes(data)
        try:
            facts = facts_of(name)
        except ConfigError as error:
            assert str(error).isprintable()
            return False
        json.dumps(facts, allow_nan=False)
        assert [line for line in lines_of(facts) if not all(isinstance(text, str) for text in line)] == []
        assert [value for _, value in lines_of(facts) if not value.isprintable()] == []
        assert [row for row in log(Path(name)) if row["step"] < 0] == []
        return True


def test_a_real_one_is_told() -> None:
    assert assert_told({})
    assert assert_told({LOG: RUN[LOG] + b'{"event": "tr'})
    assert assert_told({LOG: b""})


@st.composite
def one_broken_line(draw: st.DrawFn, rows: list[dict[str, Any]]) -> bytes:
    """The rows as lines, one of them broken as JSON breaks, or lost, or there twice."""
    lines = [json.dumps(row).encode() for row in rows]
    at = draw(st.integers(0, len(rows) - 1))
    kind = draw(st.sampled_from(["broken", "broken", "broken", "lost", "twice", "empty"]))
    lines[at : at + 1] = {"broken": lambda: [draw(broken_json(rows[at]))], "lost": list,
                          "twice": lambda: [lines[at]] * 2, "empty": lambda: [b"", lines[at]]}[kind]()  # fmt: skip
    return b"".join(line + b"\n" for line in lines)


@given(data=one_broken_line(ROWS) | one_change(RUN[LOG]))
@example(data=b'{"event": "validation"}\n')
@example(data=b'{"event": "checkpoint", "step": 5}\n')
@example(data=b'{"event": "checkpoint", "step": 5, "audio_seconds": null, "train_seconds": 1}\n')
@example(data=b'{"event": "checkpoint", "step": 5, "audio_seconds": 1, "train_seconds": ' + b"9" * 400 + b"}\n")
def test_a_log_with_one_thing_broken(data: bytes) -> None:
    assert_told({LOG: data})


@given(data=one_broken_line(FILES) | one_change(RUN[DATA]))
def test_a_list_of_files_with_one_thing_broken(data: bytes) -> None:
    assert_told({DATA: data})


@given(data=broken_json(HEAD) | one_change(RUN[RECORD]))
@example(data=json.dumps(HEAD | {"validation": {}}).encode())
@example(data=json.dumps(HEAD | {"configuration": 5}).encode())
def test_a_record_with_one_thing_broken(data: bytes) -> None:
    assert_told({RECORD: data})


@pytest.mark.parametrize("name", [*(name for name in ROWS[5] if name not in ("time", "used", "entropy"))])
def test_a_validation_with_another_value_is_refused_by_its_line(name: str) -> None:
    rows = [*ROWS[:5], ROWS[5] | {name: []}, *ROWS[6:]]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / LOG).write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(ConfigError, match=rf"line 6 has the {name} \[\].*wanted the log of streamrvq train"):
            facts_of(folder)


@pytest.mark.parametrize("path", [LOG, DATA, RECORD])
def test_a_folder_in_the_place_of_a_file_is_refused(path: str, tmp_path: Path) -> None:
    for name, data in RUN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / path).unlink()
    (tmp_path / path).mkdir()
    with pytest.raises(ConfigError, match="cannot read"):
        facts_of(tmp_path)


def test_what_a_mac_keeps_beside_files_is_no_weights_and_no_shard(tmp_path: Path) -> None:
    for name in ("._w.safetensors", "._shard-00000-of-00001.parquet"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7" + bytes(100))
    open_folder(tmp_path, "w.safetensors").release()
    (tmp_path / CHECKPOINT).touch()
    assert facts_of(tmp_path)["weights"] is None
