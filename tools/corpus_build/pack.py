"""A set in one small file, for machines without a network.

Validation clips stay lossless, so that results can be compared wherever they are measured. Only training clips are
compressed.

Knows: tar, and Opus as libsndfile writes it. Does not know: sources, packages.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from ..set_archive import Room, write
from . import audio
from .audio import RATE, Samples
from .build import check_replaceable, replace
from .clips import fraction
from .errors import CorpusError
from .manifest import COLUMNS, MANIFEST, Row, check_disjoint, read_manifest, write_table
from .ogg import with_serial

LIMIT_MB, KBPS = 55.0, 64
_OPUS_RATE = 48000


def pack(folder: Path, target: Path, limit_mb: float = LIMIT_MB, kbps: int = KBPS) -> list[Row]:
    """Write a set as one tar of at most ``limit_mb`` million bytes. The same set gives the same bytes.

    Training clips that do not fit are left out. The hashes of their names decide, so every group loses a similar share.
    Returns the rows that were packed.
    """
    rows = sorted(read_manifest(folder), key=lambda row: (row["split"] == "train", fraction(row["path"])))
    check_disjoint(rows)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        fixed = [path for path in sorted(folder.rglob("*.[ct][sx][vt]")) if path.name != MANIFEST]
        room = Room(limit_mb * 1e6, COLUMNS)
        if not room.take(path.stat().st_size for path in fixed):
            raise CorpusError(f"{limit_mb} MB do not hold the set's licences and tables; wanted --limit-mb larger")
        taken: list[Row] = []
        members: list[tuple[str, bytes | Path]] = [(str(path.relative_to(folder)), path) for path in fixed]
        for row in rows:
            source, packed = folder / row["path"], row
            if row["split"] == "train":
                packed = {**row, "coding": f"opus {kbps} kbps"}
                source = work / Path(row["path"]).with_suffix(".opus").name
                _write_opus(source, soundfile.read(folder / row["path"], dtype="float32")[0], kbps)
            if not room.take([source.stat().st_size], packed):
                if row["split"] != "train":
                    raise CorpusError(f"{limit_mb} MB do not hold the {row['split']} clips; wanted --limit-mb larger")
                break
            taken.append(packed)
            members.append((str(Path(row["path"]).with_suffix(source.suffix)), source))
        taken.sort(key=lambda row: row["path"])
        write_table(work / MANIFEST, COLUMNS, taken)
        write(target, [(MANIFEST, work / MANIFEST), *sorted(members, key=lambda member: member[0])])
    return taken


def unpack(target: Path, out: Path) -> list[Row]:
    """Restore the packed folder, with FLAC files only. The manifest's ``coding`` says which had been compressed."""
    check_replaceable(out)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with tarfile.open(target) as tar:
            tar.extractall(part, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise CorpusError(f"{target} cannot be unpacked ({error}); wanted a file made by tools/corpus --pack") from None
    rows = read_manifest(part)
    for row in rows:
        if row["coding"] != "lossless":
            packed = (part / row["path"]).with_suffix(".opus")
            audio.write_flac(part / row["path"], _read_opus(packed, int(row["samples"])))
            packed.unlink()
    replace(part, out)
    return rows


def _write_opus(path: Path, pcm: Samples, kbps: int) -> None:
    # libsndfile's compression level for Opus runs from 0 (256 kbps for each channel) to 1 (6 kbps).
    level = (256 - kbps) / 250
    file = io.BytesIO()
    soundfile.write(
        file, audio.resample(pcm, RATE, _OPUS_RATE), _OPUS_RATE, format="OGG", subtype="OPUS", compression_level=level
    )
    path.write_bytes(with_serial(file.getvalue()))


def _read_opus(path: Path, samples: int) -> Samples:
    pcm = audio.resample(soundfile.read(path, dtype="float32")[0], _OPUS_RATE, RATE)
    return np.clip(np.pad(pcm, (0, max(0, samples - len(pcm))))[:samples], -1, 1)
