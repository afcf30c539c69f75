"""What was carried to a borrowed machine: wheels become a folder of modules, packs become folders of WAV.

Both are made once and kept. What was being made when a call was killed is made again: it has another name until it is
whole.

Knows: wheels, packs. Does not know: training. Until `install` has run it imports nothing that needs the wheels.
"""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamrvq.system.cores import available_cores

_FORMAT, _VERSION = "streamrvq.pack", 1
_MANIFEST, _HEAD = "manifest.csv", "pack.json"


class CarriedError(Exception):
    """Something that was carried is missing or damaged."""


@dataclass(frozen=True)
class Pack:
    """An unpacked pack: its number in its set, its folder, and what it has to train on."""

    number: int
    digest: str
    folder: Path
    clips: int
    minutes: dict[str, float]  #: of each kind, to train on

    @property
    def has_validation(self) -> bool:
        return (self.folder / "validation").is_dir()


def carried(places: Iterable[Path], suffix: str) -> list[Path]:
    """The files with ``suffix`` in folders, or named themselves, in the order of their names. Raises `CarriedError`."""
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise CarriedError(f"{place} is not there; wanted packs and wheels, or folders of them, with --packs")
        found += sorted(place.rglob(f"*{suffix}")) if place.is_dir() else [place] if place.suffix == suffix else []
    return found


def install(wheels: Sequence[Path], keep: Path) -> Path:
    """Unpack wheels into a folder, which becomes the first to import from.

    A wheel is a ZIP file of what site-packages gets (PEP 427), and those that travel have nothing else: so this is all
    that pip would do.
    """
    names = hashlib.sha256(" ".join(wheel.name for wheel in wheels).encode()).hexdigest()[:12]
    site = keep / f"site-{names}"
    if not site.is_dir():
        part = _afresh(keep / f"{site.name}.part")
        for wheel in wheels:
            try:
                with zipfile.ZipFile(wheel) as file:
                    file.extractall(part)
            except zipfile.BadZipFile as error:
                raise CarriedError(f"{wheel} is damaged ({error}); wanted a wheel: carry it again") from None
        part.rename(site)
    sys.path.insert(0, str(site))
    try:
        import soundfile  # noqa: F401
    except (ImportError, OSError) as error:
        raise CarriedError(
            f"soundfile cannot be imported ({error}); wanted its wheel and those of cffi and pycparser, for Python "
            f"{sys.version_info.major}.{sys.version_info.minor} here, in a folder of --packs"
        ) from None
    return site


def unpack(files: Sequence[Path], keep: Path, rate: int) -> list[Pack]:
    """The packs as folders of 16-bit WAV at ``rate`` Hz, which the trainer reads as fast as the disk.

    Raises:
        CarriedError: there is no pack here or kept from before, or one is damaged.
    """
    folder = keep / "packs"
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        if not (folder / digest).is_dir():
            part = _afresh(folder / f"{digest}.part")
            try:
                with tarfile.open(file) as tar:
                    tar.extractall(part, filter="data")
                _decode(part, rate)
            except (OSError, tarfile.TarError, RuntimeError, KeyError, ValueError) as error:
                raise CarriedError(
                    f"{file} cannot be unpacked ({error}); wanted a file made by tools/train_release --pack"
                ) from None
            part.rename(folder / digest)
    packs = [_pack(path) for path in sorted(folder.iterdir()) if path.suffix != ".part"]
    if not packs:
        raise CarriedError("there is no pack; wanted files made by tools/train_release --pack, in a folder of --packs")
    return sorted(packs, key=lambda pack: (pack.number, pack.digest))


def _pack(folder: Path) -> Pack:
    head = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
    with open(folder / _MANIFEST, newline="", encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "train"]
    minutes: dict[str, float] = {}
    for row in rows:
        minutes[row["kind"]] = minutes.get(row["kind"], 0.0) + float(row["decoded_seconds"]) / 60
    return Pack(
        int(head["number"]), folder.name, folder, len(rows), {kind: round(minutes[kind], 2) for kind in minutes}
    )


def _decode(folder: Path, rate: int) -> None:
    head = json.loads((folder / _HEAD).read_text(encoding="utf-8"))
    if head.get("format") != _FORMAT or head.get("version") != _VERSION:
        raise ValueError(f"it is {head.get('format')} {head.get('version')}, and this is for {_FORMAT} {_VERSION}")
    with open(folder / _MANIFEST, newline="", encoding="utf-8") as table:
        rows: list[dict[str, Any]] = list(csv.DictReader(table))
    clips = [folder / row["path"] for row in rows]
    # Not forked: numpy has threads by now.
    with ProcessPoolExecutor(available_cores(), multiprocessing.get_context("spawn")) as workers:
        for row, seconds in zip(rows, workers.map(_to_wav, clips, [rate] * len(clips), chunksize=8), strict=True):
            row["path"] = str(Path(row["path"]).with_suffix(".wav"))
            row["decoded_seconds"] = f"{seconds:.3f}"
    with open(folder / _MANIFEST, "w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _to_wav(path: Path, rate: int) -> float:
    """Replace a clip by 16-bit WAV. Returns its seconds."""
    import numpy as np
    import soundfile  # not streamrvq.audio, which reads all but WAV by PyAV: 40 MB more to carry

    from streamrvq.resampling import resampler

    pcm, own = soundfile.read(path, dtype="float32", always_2d=True)
    pcm = pcm.mean(axis=1, dtype=np.float32)
    if own != rate:
        between = resampler(own, rate)
        out, state = between.push(between.start(), pcm)
        pcm = np.concatenate([out, between.finish(state)])
    whole = np.clip(np.rint(pcm * np.float32(32768)), -32768, 32767).astype(np.int16)
    path.unlink()  # first, for it may be a WAV itself
    soundfile.write(path.with_suffix(".wav"), whole, rate, subtype="PCM_16")
    return len(whole) / rate


def _afresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
