"""The result of a comparison: means over clips, as a value of JSON types and as a table.

Knows: arithmetic on judged clips. Does not know: how they were judged, pictures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from .errors import QualityError
from .judging import Judged
from .metrics import METRICS
from .systems import System
from .words import normalised_words, word_errors

FORMAT = "streamrvq quality 1"

Report = dict[str, Any]


def make_report(
    judged: Sequence[Judged], systems: Sequence[System], metrics: Sequence[str], about: Mapping[str, Any]
) -> Report:
    """The report, as a value of JSON types.

    ``systems`` has one row for each system: ``kbps`` and, by metric, ``mean``, ``stderr`` (of the mean over clips) and
    ``clips``. ``wer`` is in percent of the words recognised in the original; ``wer_written`` is in percent of the words
    of the written text. ``clips`` has every score and every recognised text. ``codebooks`` has ``used`` (share of
    entries) and ``entropy`` (bits) by level, over the validation clips.
    """
    from streamrvq.train.validation import usage  # which imports torch

    judged = sorted(judged, key=lambda one: (one.clip.split, one.clip.name))
    report: Report = {"format": FORMAT, **about, "metrics": list(metrics)}
    report["systems"] = [_row(judged, system, metrics) for system in systems]
    counts = [one.counts for one in judged if one.counts is not None]
    report["codebooks"] = (
        {"frames": int(sum(c[0].sum() for c in counts)), **usage(np.sum(counts, 0))} if counts else None
    )
    report["clips"] = [_clip(one) for one in judged]
    return report


def _row(judged: Sequence[Judged], system: System, metrics: Sequence[str]) -> Report:
    name = system.name
    mine = [one for one in judged if name in one.scores]
    full_band = [one for one in mine if one.clip.split == "validation"] or mine
    seconds = math.fsum(one.clip.seconds for one in full_band)
    row: Report = {"name": name, "kind": system.kind, "amount": system.amount}
    row["kbps"] = round(math.fsum(one.bits[name] for one in full_band) / seconds / 1000, 3) if seconds else None
    row["scores"] = {}
    for metric in metrics:
        values = [value for one in mine if (value := one.scores[name].get(metric)) is not None]
        if values:
            row["scores"][metric] = mean(values)
    if "wer" in metrics:
        row["scores"].update(_word_errors(mine, name))
    kinds = sorted({one.clip.kind for one in full_band})
    row["kinds"] = {kind: _kind_means(full_band, name, kind, metrics) for kind in kinds}
    return row


def mean(values: Sequence[float]) -> dict[str, float | int | None]:
    """``mean`` of some numbers, its ``stderr`` (None for a single number), and ``clips``, how many there are."""
    average = math.fsum(values) / len(values)
    spread = math.fsum((value - average) ** 2 for value in values)
    stderr = math.sqrt(spread / (len(values) - 1) / len(values)) if len(values) > 1 else None
    return {"mean": average, "stderr": stderr, "clips": len(values)}


def _kind_means(judged: Sequence[Judged], name: str, kind: str, metrics: Sequence[str]) -> dict[str, float]:
    found = {}
    for metric in metrics:
        values = [v for one in judged if one.clip.kind == kind and (v := one.scores[name].get(metric)) is not None]
        if values:
            found[metric] = math.fsum(values) / len(values)
    return found


def _word_errors(judged: Sequence[Judged], name: str) -> Report:
    found: Report = {}
    for key, reference in (("wer", "heard"), ("wer_written", "written")):
        errors = words = clips = 0
        for one in judged:
            text = one.clip.text if reference == "written" else one.heard.get("original", "")
            if name in one.heard and (said := normalised_words(text)):
                errors += word_errors(said, normalised_words(one.heard[name]))
                words, clips = words + len(said), clips + 1
        if words:
            found[key] = {"mean": 100 * errors / words, "errors": errors, "words": words, "clips": clips}
    return found


def _clip(one: Judged) -> Report:
    clip = one.clip
    return {
        "name": clip.name, "split": clip.split, "kind": clip.kind, "group": clip.group, "seconds": clip.seconds,
        "sha256": clip.sha256, "text": clip.text, "scores": one.scores, "heard": one.heard,
    }  # fmt: skip


def read_report(path: Path) -> Report:
    """Read a report. Raises `QualityError` if it is not one of this version."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QualityError(f"{path} cannot be read ({error}); wanted a quality.json that tools/quality wrote") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise QualityError(f"{path} is not of the format {FORMAT!r}; wanted a quality.json that tools/quality wrote")
    return report


def check_writable(path: Path) -> None:
    """Make the folder of a report. Raises `OSError` where none can be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.touch()
    part.unlink()


def write_report(path: Path, report: Report) -> None:
    """Write a report as JSON, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path)


def table(report: Report) -> Table:
    """A row for each system and a column for each metric. ± is the standard error of the mean over clips."""
    columns = {name: metric for name, metric in METRICS.items() if name in report["metrics"]}
    codec = report["codec"]
    trained = "" if codec["trained"] else " (untrained)"
    shown = Table(title=f"{codec['name']}{trained}, {codec['hash'][:12]}: {listened_to(report)}")
    shown.add_column("")
    shown.add_column("kbps", justify="right")
    written = any("wer_written" in row["scores"] for row in report["systems"])
    for metric in columns.values():
        shown.add_column(f"{metric.title} {'↑' if metric.more_is_better else '↓'}", justify="right")
    if written:
        shown.add_column("WER % ↓, read text", justify="right")
    for row in report["systems"]:
        cells = [_cell(row["scores"].get(name), metric.decimals) for name, metric in columns.items()]
        cells += [_cell(row["scores"].get("wer_written"), 1)] if written else []
        kbps = "" if row["kind"] == "original" or row["kbps"] is None else f"{row['kbps']:.2f}"
        shown.add_row(row["name"], kbps, *cells, end_section=row["kind"] == "original")
    return shown


def listened_to(report: Report) -> str:
    """One line that says which clips the means are over."""
    parts = []
    for split, what in (("validation", "clips"), ("words", "spoken texts")):
        mine = [clip for clip in report["clips"] if clip["split"] == split]
        if mine:
            parts.append(f"{len(mine)} {what}, {math.fsum(clip['seconds'] for clip in mine):.0f} s")
    return ", ".join(parts)


def _cell(score: Mapping[str, Any] | None, decimals: int) -> str:
    if score is None:
        return "–"
    error = score.get("stderr")
    return f"{score['mean']:.{decimals}f}" + (f" ±{error:.{decimals}f}" if error is not None else "")


def codebook_lines(report: Report) -> list[str]:
    """Usage and entropy by level, as text. Empty if no codes were counted."""
    books = report["codebooks"]
    if not books:
        return []
    used = " ".join(f"{100 * share:.0f}" for share in books["used"])
    bits = " ".join(f"{entropy:.1f}" for entropy in books["entropy"])
    return [f"entries used by level, % of {report['codec']['codebook_size']}, in {books['frames']} frames: {used}",
            f"entropy by level, bits: {bits}"]  # fmt: skip
