"""A set of audio as several files, each complete in itself, for a machine that can fetch nothing.

Training clips become Ogg Vorbis at their own rate, quality 0.4: about 66 kbit/s for mono at 44.1 kHz, an hour in 30 MB.
That keeps more than the codec can: its mel distance to the original is 1.6, and Vorbis's is 0.3 to 0.5, on two clips of
demos/audio and two of tests/data/audio. Opus is as near at 80 kbit/s, not at 64, and it has no 44.1 kHz: its samples
would have to be resampled on the borrowed machine. Speech of 8 to 12 kHz takes a sixth less at a lower rate, which is
not worth the resampling either. libsndfile reads both; soundfile's wheels since 0.11 hold it with both.

Validation clips are lossless, few and short, for they only draw the curve: the result is judged elsewhere.

Knows: which clips are in which pack, and the bytes of a pack. Does not know: how packs travel (carry.py), what becomes
of them (unpacking.py).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..corpus_build.ogg import with_serial
from ..set_archive import Room, write

FORMAT, VERSION = "streamrvq.pack", 1
MANIFEST, HEAD, TERMS = "manifest.csv", "pack.json", "copyright"
_QUALITY = 0.4  #: Vorbis's, from 0 to 1
_BLOCK = 1 << 16  #: libsndfile's Vorbis writer keeps a call's samples on its stack
_COPIED_KBPS = 110  #: a clip that is compressed already and not larger is taken as it is
_LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III")
_VALIDATION_CLIPS, _VALIDATION_SECONDS = 12, 4.0
_CHANGED = ("seconds", "samples", "coding")  #: columns that a pack gives values of its own

Row = dict[str, str]


class PackError(Exception):
    """A set that cannot be packed, or a file that is no pack."""


def pack(folder: Path, out: Path, megabytes: float, shares: Mapping[str, float], most: int | None = None) -> list[Path]:
    """Write ``out/pack-01.tar`` … of at most ``megabytes`` million bytes each. The same set gives the same bytes.

    The first has the validation clips, and of each kind as many minutes as its share: so it is the one to train on if
    there is no time for more. The rest is spread evenly over the others: each kind and group has its share in each.

    Args:
        folder: with ``train/``, ``validation/`` and a ``manifest.csv`` whose ``path`` names the clips.
        shares: of the kinds, as `TrainConfig.kinds`.
        most: packs that are written; None: all.

    Raises:
        PackError: the set has no such manifest, or a clip does not fit into a pack.
    """
    rows = _manifest(folder)
    left = [row for row in rows if row["split"] == "train"]
    if not left:
        raise PackError(f"{folder} has no clip to train on; wanted rows of {MANIFEST} whose path is in train/")
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    while left and (most is None or len(made) < most):
        packing = _Pack(folder, digest, len(made) + 1, megabytes, [*dict.fromkeys([*rows[0], *_CHANGED])])
        if not made:
            for row in _few([row for row in rows if row["split"] == "validation"]):
                if not packing.add(row, *_excerpt(folder / row["path"])):
                    raise _too_small(megabytes, row)
            left = _by_share(left, shares)
        taken = 0
        for row in left:
            if not packing.add(row, *_compressed(folder / row["path"])):
                break
            taken += 1
        if not taken:
            raise _too_small(megabytes, left[0])
        left = left[taken:] if made else _evenly(left[taken:])
        if not made:  # what cannot be packed leaves the older ones
            for old in sorted(out.glob("pack-*.tar")):
                old.unlink()
        made.append(out / f"pack-{len(made) + 1:02d}.tar")
        packing.write(made[-1])
    return made


class _Pack:
    """A pack in the making."""

    def __init__(self, folder: Path, digest: str, number: int, megabytes: float, columns: list[str]) -> None:
        self._folder, self._room = folder, Room(megabytes * 1e6, columns)
        self._head = json.dumps({"format": FORMAT, "version": VERSION, "set": digest, "number": number}).encode()
        self._has_head = self._room.take([len(self._head)])
        self._rows: list[Row] = []
        self._members: dict[str, bytes] = {}

    def add(self, row: Row, suffix: str, data: bytes, changed: Row) -> bool:
        """Take a clip, if there is room for it and for its licence."""
        name = str(Path(row["path"]).with_suffix(suffix))
        if name in self._members:
            raise PackError(f"two clips are called {name} but for their suffixes; wanted different names")
        row = row | changed | {"path": name}
        terms = self._folder / TERMS / f"{row.get('package', '')}.txt"
        members = {name: data}
        if terms.is_file() and str(terms.relative_to(self._folder)) not in self._members:
            members[str(terms.relative_to(self._folder))] = terms.read_bytes()
        if not self._has_head or not self._room.take(map(len, members.values()), row):
            return False
        self._rows.append(row)
        self._members |= members
        return True

    def write(self, target: Path) -> None:
        table = io.StringIO(newline="")
        columns = list(dict.fromkeys(key for row in self._rows for key in row))
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(self._rows, key=lambda row: row["path"]))
        write(target, [(HEAD, self._head), (MANIFEST, table.getvalue().encode()), *sorted(self._members.items())])


def _too_small(megabytes: float, row: Row) -> PackError:
    return PackError(f"{megabytes:g} MB do not hold {row['path']}; wanted more with --megabytes")


def _manifest(folder: Path) -> list[Row]:
    try:
        with open(folder / MANIFEST, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise PackError(f"cannot read {folder / MANIFEST} ({error.strerror}); wanted a set of tools/corpus") from None
    if not rows or "path" not in rows[0]:
        raise PackError(f"{folder / MANIFEST} names no clips; wanted a column path, as tools/corpus writes it")
    return [row | {"split": Path(row["path"]).parts[0], "kind": row.get("kind") or ""} for row in rows]


def _by_share(rows: list[Row], shares: Mapping[str, float]) -> list[Row]:
    """In an order whose every beginning has of each kind as many seconds as its share, while there are any."""
    kinds: dict[str, list[Row]] = {}
    for row in _evenly(rows):
        kinds.setdefault(row["kind"], []).append(row)
    lengths = {kind: sum(map(_seconds, mine)) for kind, mine in kinds.items()}
    whole = sum(lengths.values())
    timed: list[tuple[float, str, Row]] = []
    for kind, mine in sorted(kinds.items()):
        share, passed = shares.get(kind, lengths[kind] / whole), 0.0
        for row in mine:
            timed.append((passed / share if share else float("inf"), row["path"], row))
            passed += _seconds(row)
    return [row for *_, row in sorted(timed, key=lambda item: item[:2])]


def _evenly(rows: list[Row]) -> list[Row]:
    """In an order whose every part has the same share of each kind and group. Hashes of names decide the rest."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row.get("group") or ""), []).append(row)
    placed: list[tuple[float, str, Row]] = []
    for mine in groups.values():
        mine.sort(key=lambda row: _hash(row["path"]))
        placed += [((i + 0.5) / len(mine), _hash(row["path"]), row) for i, row in enumerate(mine)]
    return [row for *_, row in sorted(placed, key=lambda item: item[:2])]


def _few(rows: list[Row]) -> Iterator[Row]:
    """A few clips, of each kind in turn."""
    kinds: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: _hash(row["path"])):
        kinds.setdefault(row["kind"], []).append(row)
    turns = sorted((i, kind, row["path"], row) for kind, mine in kinds.items() for i, row in enumerate(mine))
    yield from [row for *_, row in turns[:_VALIDATION_CLIPS]]


def _excerpt(path: Path) -> tuple[str, bytes, Row]:
    """The middle of a clip as FLAC."""
    pcm, rate = _read(path)
    length = min(len(pcm), round(_VALIDATION_SECONDS * rate))
    start = (len(pcm) - length) // 2
    whole = np.clip(np.rint(pcm[start : start + length] * np.float32(32768)), -32768, 32767).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, whole, rate, format="FLAC", subtype="PCM_16")
    seconds = f"{length / rate:.3f}"
    return ".flac", file.getvalue(), {"seconds": seconds, "samples": str(length), "coding": "lossless"}


def _compressed(path: Path) -> tuple[str, bytes, Row]:
    info = soundfile.info(path)
    if info.subtype in _LOSSY and path.stat().st_size * 8 <= _COPIED_KBPS * 1000 * info.duration:
        return path.suffix, path.read_bytes(), {"coding": f"{info.subtype.lower()}, as it was"}
    pcm, rate = _read(path)
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate, 1, "VORBIS", format="OGG", compression_level=1 - _QUALITY) as out:
        for start in range(0, len(pcm), _BLOCK):
            out.write(pcm[start : start + _BLOCK])
    return ".ogg", with_serial(file.getvalue()), {"coding": f"vorbis, quality {_QUALITY:g}"}


def _read(path: Path) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return pcm.mean(axis=1, dtype=np.float32), int(rate)


def _seconds(row: Row) -> float:
    return float(row.get("seconds") or 1.0)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
