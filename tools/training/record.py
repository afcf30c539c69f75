"""The record beside the shipped weights: an entry for each run that led to them, from its log and the judge's report.

Knows: logs of ``streamrvq train``, reports of ``tools/quality``, and what an entry says. Does not know: which runs are
landed.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from streamrvq.system.cores import available_cores
from streamrvq.train.runs.rows import read_rows
from streamrvq.weights import load_weights

#: In a run's folder: the entries of the runs before it whose weights it went on from, and what its own entry gets
#: beside the figures of its log.
EARLIER, BESIDE = "earlier.json", "beside.json"
#: The columns of the validation curve in the record.
_CURVE = ("step", "audio_seconds", "train_seconds", "mel", "stft", "si_sdr", "estoi")
_JUDGED = ("mel", "visqol")  #: figures of tools/quality in the record


def entries(run: Path, weights: Path) -> list[dict[str, Any]]:
    """The entries of ``run``, whose weights are ``weights``, and of the runs before it, the oldest first."""
    earlier: list[dict[str, Any]] = _read(run / EARLIER, [])
    return [*earlier, _entry(run, weights)]


def _entry(run: Path, weights: Path) -> dict[str, Any]:
    rows = log(run)
    last = max(rows, key=lambda row: int(row["step"]))
    curve = [row for row in rows if row["event"] == "validation"]
    beside: dict[str, Any] = _read(run / BESIDE, {})
    return {
        "codec_hash": load_weights(weights).codec_hash,
        "steps": last["step"], "hours": round(last["train_seconds"] / 3600, 3), "audio_seconds": last["audio_seconds"],
        **beside, "validation": [{key: row.get(key) for key in _CURVE} for row in curve],
    }  # fmt: skip


def judged_by(report: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """``entry`` with the figures of a ``quality.json`` of ``tools/quality``: with all codebooks, over its clips."""
    systems = [row for row in json.loads(report.read_text(encoding="utf-8"))["systems"] if row["kind"] == "ours"]
    scores = max(systems, key=lambda row: int(row["amount"]))["scores"]
    figures = {name: round(scores[name]["mean"], 3) for name in _JUDGED if name in scores}
    rest = {name: value for name, value in entry.items() if name != "validation"}  # which is long, and comes last
    judged = {"clips": scores["mel"]["clips"], **figures}
    return {**rest, "judged": judged, "validation": entry["validation"]}


def log(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's log; none if it has none. Raises `ConfigError` for one that is damaged."""
    return read_rows(run / "log.jsonl")


def device_name(device: str) -> str:
    """What an entry calls the device ``cuda`` or ``cpu`` of this machine."""
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        try:
            return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
        except (OSError, subprocess.CalledProcessError, IndexError):
            return device
    return f"{device}, {available_cores()} cores"


def _read(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise
