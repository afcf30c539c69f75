"""What the record of a bulk run says: how far it is, with what, and what failed.

Knows: the files of ``__run__`` that people may read too. Does not know: how a run is resumed (corpus/record.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...corpus.plan_file import document_in, stages_of
from ...corpus.sources import RECORDS
from ...errors import CorpusError
from ...system.foreign_data import foreign_data, one_line
from ...system.regular_file import check_regular, read_at_most
from ...tokens.reader import shards_in

#: Failures that are named, and characters of a line that is read: two long paths and an error.
_NAMED, _LONGEST = 3, 1 << 20
#: Settings that are shown, by their names in the record.
_SETTINGS = ("codec", "n_quantizers", "tail", "channels", "segment_frames", "truncated", "track", "pack")


def run_facts(folder: Path) -> dict[str, Any]:
    """The figures of the run in ``folder``.

    Raises:
        CorpusError: its record is damaged.
    """
    record = folder / RECORDS
    with foreign_data(CorpusError, f"the record in {record}", "run the command of the run again"):
        if not (record / "run.json").is_file():
            return {"complete": False, "sources": 0, "shards": 0, "shards_done": 0, "failed": 0, "failures": [],
                    "passed_over": 0, "settings": {}, "streamrvq": None}  # fmt: skip
        document = document_in(read_at_most(record / "run.json", _LONGEST) or b"")
        planned = stages_of(document)[-1]
        failures = [json.loads(line) for line in _lines_of(record / "failed.jsonl")]
        shards, there = planned.shards, len(shards_in(folder))
        settings = document["settings"]
        return {
            "complete": there >= shards, "sources": planned.sources, "shards": shards, "shards_done": there,
            "failed": len(failures), "failures": [_failure(item) for item in failures[:_NAMED]],
            "passed_over": sum(1 for _ in _lines_of(record / "passed_over.jsonl")),
            "settings": {name: settings[name] for name in _SETTINGS if name in settings},
            "streamrvq": one_line(document["streamrvq"], 40),
        }  # fmt: skip


def _failure(item: dict[str, Any]) -> dict[str, str]:
    return {"path": one_line(item["path"]), "error": one_line(item["error"])}


def _lines_of(path: Path) -> Iterator[str]:
    """The lines of a file; nothing if there is no such file."""
    if not path.exists():
        return
    check_regular(path)
    with open(path, encoding="utf-8") as file:
        while line := file.readline(_LONGEST):
            yield line


def run_lines(run: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures for people."""
    if run["streamrvq"] is None:
        return [("run", "it was ended before its plan was written; give its command again")]
    state = "complete" if run["complete"] else "not complete: give its command again to go on"
    lines = [
        ("run", f"{run['shards_done']} of {run['shards']} shards are there, {state}"),
        ("sources", f"{run['sources']}, {run['failed']} failed"),
    ]
    if run["passed_over"]:
        lines.append(("passed over", f"{run['passed_over']}; see {RECORDS}/passed_over.jsonl"))
    lines += [("failed", _why(item)) for item in run["failures"]]
    if run["failed"] > len(run["failures"]):
        lines.append(("", f"and {run['failed'] - len(run['failures'])} more; see {RECORDS}/failed.jsonl"))
    lines.append(("settings", ", ".join(f"{name} {one_line(value, 60)}" for name, value in run["settings"].items())))
    return [*lines, ("made by", f"streamrvq {run['streamrvq']}")]


def _why(item: dict[str, str]) -> str:
    return item["error"] if item["path"] in item["error"] else f"{item['path']}: {item['error']}"
