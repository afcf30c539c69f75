"""The tables of a set: their columns, how they are read and written, and their totals.

Knows: what the columns say. Does not know: packages, files of audio.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import audio
from .errors import CorpusError

MANIFEST = "manifest.csv"
COLUMNS = (
    "path", "split", "kind", "group", "package", "licence", "seconds", "samples", "native_rate", "bandwidth_khz",
    "above_8khz_db", "coding", "files", "origin", "bandwidth", "weight", "speakers",
)  # fmt: skip
#: Columns that older sets lack, and what they stand for there.
ADDED = {"origin": "recorded", "bandwidth": "", "weight": "1", "speakers": ""}
SOURCE_COLUMNS = ("group", "split", "kind", "package", "version", "sha256", "licences", "clips", "minutes")
LEFT_OUT_COLUMNS = ("group", "package", "files", "because")
SPLITS = ("train", "validation")
TEXTS = "texts.csv"
TEXT_COLUMNS = ("path", "text")

Row = dict[str, str]


def bandwidth(rates: str) -> str:
    """The bandwidth of the lowest of the rates in a row's native_rate; see `audio.bandwidth`."""
    return audio.bandwidth(min(map(int, rates.split("/"))))


def check_disjoint(rows: Iterable[Mapping[str, str]]) -> None:
    """Raise `CorpusError` if a group or a file is in two splits."""
    sides: dict[tuple[str, str], str] = {}
    for row in rows:
        files = {(row["package"], name.split("@")[0]) for name in row["files"].split(" | ")}
        for key in {("", row["group"]), *files}:
            if sides.setdefault(key, row["split"]) != row["split"]:
                both = " and in ".join(sorted({sides[key], row["split"]}))
                raise CorpusError(f"{key[1]!r} is in {both}; wanted one split: correct the sources")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a CSV file, with ``\\n`` as its newline on every system."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_manifest(folder: Path) -> list[Row]:
    """The rows of a set's manifest. Raises `CorpusError` if the set has none."""
    try:
        with open(folder / MANIFEST, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        raise CorpusError(f"{folder} has no {MANIFEST}; wanted a folder that tools/corpus made") from None
    if not rows or set(ADDED | rows[0]) != set(COLUMNS):
        raise CorpusError(f"{folder / MANIFEST} has not this version's columns; make the set again with tools/corpus")
    return [{**ADDED, "bandwidth": bandwidth(row["native_rate"]), **row} for row in rows]


def totals(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each split and kind: its clips and minutes."""
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for row in rows:
        for kind in (row["kind"], "all"):
            count, seconds = sums.get((row["split"], kind), (0, 0.0))
            sums[row["split"], kind] = (count + 1, seconds + float(row["seconds"]))
    return [f"{s:10} {k:6} {n:5} clips {t / 60:7.2f} min" for (s, k), (n, t) in sorted(sums.items())]


def table(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Hours, speakers, bandwidth and licences by split, kind and origin, as the rows of a Markdown table.

    Of groups whose speakers are not known none are counted; a ``+`` says that there are such groups.
    """
    cells: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        cells.setdefault(tuple(row[name] for name in ("split", "kind", "origin", "bandwidth")), []).append(row)
    lines = ["| split | kind | origin | bandwidth | hours | clips | speakers | licences |", "|" + " --- |" * 8]
    for key, mine in sorted(cells.items()):
        groups = {row["group"]: row["speakers"] for row in mine if row["kind"] == "speech"}
        known = sum(int(count) for count in groups.values() if count)
        speakers = f"{known or ''}{'+' if known and '' in groups.values() else ''}"
        licences = ", ".join(sorted({licence for row in mine for licence in row["licence"].split("; ")}, key=str.lower))
        hours = sum(float(row["seconds"]) for row in mine) / 3600
        lines.append(f"| {' | '.join(key)} | {hours:.2f} | {len(mine)} | {speakers} | {licences} |")
    return lines
