"""What ``info`` says of a run's folder, from its record, its log and its weights. The checkpoint is not opened.

Knows: which facts, and how they read. Does not know: torch, what the figures mean (log.py).
"""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import Any

from ...system.foreign_data import one_line
from ...weights import load_weights
from . import record
from .folder import CHECKPOINT, LOG, RECORD
from .rows import read_rows

#: The figures of a validation that are shown, and their units.
_SHOWN = (("mel", ""), ("stft", ""), ("si_sdr", " dB"), ("estoi", ""))


def is_run(folder: str | Path) -> bool:
    """Whether a training run is in ``folder``, of this version or an older one."""
    path = Path(folder)
    return (path / RECORD).is_file() or ((path / CHECKPOINT).is_file() and (path / LOG).is_file())


def facts_of(folder: str | Path) -> dict[str, Any]:
    """The facts about the run in ``folder``, under plain names; None for what is not known.

    Raises:
        ConfigError: its record or its log cannot be read, or is something else.
        WeightsError: its weights are damaged.
    """
    path = Path(folder)
    known, rows = record.read(path), read_rows(path / LOG)
    kept, last = _last(rows, "checkpoint"), _last(rows, "validation")
    files = known.files if known is not None else ()
    used = {use: [file for file in files if file.use == use] for use in ("train", "validation")}
    file = _weights_file(path, known)
    weights = load_weights(file) if file is not None else None
    there = (path / CHECKPOINT).is_file()
    return {
        "run": known.name if known is not None else path.resolve().name,
        "configuration": known.configuration if known is not None else None,
        "checkpoint": str(path / CHECKPOINT) if there else None,
        "step": kept.get("step") if there else None,
        "audio_seconds": kept.get("audio_seconds") if there else None,
        "train_seconds": kept.get("train_seconds") if there else None,
        "last_logged_step": rows[-1].get("step") if rows else None,
        "files": len(used["train"]) if known is not None else None,
        "seconds": round(sum(file.seconds for file in used["train"]), 3) if known is not None else None,
        "validation": known.validation if known is not None else None,
        "validation_files": [file.path for file in used["validation"]] if known is not None else None,
        "begun_with": known.weights if known is not None else None,
        "last_validation": {"step": last["step"], **{name: last.get(name) for name, _ in _SHOWN}} if last else None,
        "weights": str(file) if file is not None else None,
        "weights_training": weights.training or None if weights is not None else None,
        "codec_hash": weights.codec_hash if weights is not None else None,
    }


def _weights_file(folder: Path, known: record.Record | None) -> Path | None:
    """The run's own weights: the folder may hold others, too. A run without a record names none: the first there is."""
    found = sorted(path for path in folder.glob("*.safetensors") if path.name[0] != ".")
    own = [path for path in found if known is None or path.name == f"{known.configuration}.safetensors"]
    return own[0] if own else None


def lines_of(f: dict[str, Any]) -> list[tuple[str, str]]:
    """`facts_of` as names and values for people."""
    lines = [("configuration", one_line(f["configuration"] or "not recorded"))]
    if f["checkpoint"] is None:
        lines.append(("checkpoint", "none yet: nothing is kept of the run"))
    elif f["step"] is None:
        lines.append(("checkpoint", f"{f['checkpoint']}, of an older version that did not log its step"))
    else:
        minutes = f["train_seconds"] / 60
        lines.append(
            ("checkpoint", f"step {f['step']}: {f['audio_seconds']:.0f} s of audio trained on in {minutes:.1f} minutes")
        )
    if f["files"] is not None:
        lines.append(("trained on", f"{_files(range(f['files']))}, {f['seconds'] / 60:.1f} minutes"))
        names = f["validation_files"]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        said = {"none": "none", "given": _files(names), "held out": f"{_files(names)} held out of the data"}
        listed = ": " + ", ".join(one_line(name) for name in names[:4]) + more if names else ""
        lines.append(("validation", said.get(f["validation"], one_line(f["validation"])) + listed))
    if f["begun_with"]:
        lines.append(("begun with", f"weights of codec hash {one_line(f['begun_with'], 64)}"))
    if last := f["last_validation"]:
        figures = ", ".join(
            f"{name} {last[name]:.3f}{unit}" for name, unit in _SHOWN if isinstance(last[name], (int, float))
        )
        lines.append(("last validation", f"step {last['step']}: {figures}"))
    lines.append(("log", f"to step {f['last_logged_step']}" if f["last_logged_step"] is not None else "none"))
    if f["weights"]:
        trained = f["weights_training"] or "how long they were trained is not recorded"
        lines += [("weights", f"{f['weights']}: {trained}"), ("codec hash", f["codec_hash"])]
    else:
        lines.append(("weights", "none yet: there are no codebooks"))
    return lines


def _files(files: Sized) -> str:
    return f"{len(files)} file{'s' * (len(files) != 1)}"


def _last(rows: list[dict[str, Any]], event: str) -> dict[str, Any]:
    return next((row for row in reversed(rows) if row.get("event") == event), {})
