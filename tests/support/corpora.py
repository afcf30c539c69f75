"""What the tests of corpora share: a folder of audio of all kinds, and shards read back with pyarrow alone.

Knows: the schema's column names. Does not know: how shards are written, or the reader in streamrvq.tokens.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile

from tests.support.contract import noise

#: Files by name: rate, samples, channels.
KINDS = {
    "a.wav": (44100, 4410, 1),
    "b.flac": (16000, 3001, 1),
    "sub/c.mp3": (44100, 9000, 1),
    "sub/d.ogg": (48000, 5000, 1),
    "e.wav": (8000, 700, 1),
    "eight.wav": (48000, 1000, 8),
    "none.wav": (44100, 0, 1),
    "stereo.flac": (44100, 2000, 2),
}


def make_audio(folder: Path) -> Path:
    """The files of `KINDS`; no two channels are alike."""
    for number, (name, (rate, samples, channels)) in enumerate(KINDS.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pcm = np.stack([noise(samples, 10 * number + channel)[:samples] for channel in range(channels)], axis=1)
        soundfile.write(folder / name, pcm, rate)
    return folder


def silence(path: Path, seconds: int, rate: int) -> None:
    """A 16-bit WAV file of silence. It takes no place on a disk, however long it is."""
    size = 2 * seconds * rate
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16,
                       b"data", size)  # fmt: skip
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """Every row, codes as ``[K, T]``, in the order of the shards."""
    rows = []
    for path in sorted(folder.glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if "packed" in row:
                row["codes"] = unpacked(row.pop("packed"), row["n_quantizers"] * row["frames"], bits_in(path))
            row["codes"] = np.array(row["codes"], np.int64).reshape(row["n_quantizers"], row["frames"])
            rows.append(row)
    return rows


def bits_in(path: Path) -> int:
    """How many bits a code of a shard with packed codes takes."""
    bits: int = json.loads(pq.read_schema(path).metadata[b"streamrvq"])["bits"]
    return bits


def unpacked(data: bytes, codes: int, bits: int) -> np.ndarray[Any, Any]:
    """Packed codes, one by one: each has its lowest bit first."""
    whole = int.from_bytes(data, "little")
    return np.array([whole >> bits * number & (1 << bits) - 1 for number in range(codes)], np.int64)


def signals_in(folder: Path) -> dict[tuple[str, int], np.ndarray]:
    """The codes of every signal by its path and channel, its rows put together in the order they came."""
    parts: dict[tuple[str, int], list[np.ndarray]] = {}
    for row in rows_in(folder):
        signal = parts.setdefault((row["path"], row["channel"]), [])
        assert row["segment"] == len(signal)
        signal.append(row["codes"])
    return {name: np.concatenate(codes, axis=1) for name, codes in parts.items()}


def failed_in(folder: Path) -> dict[str, str]:
    """What failed, and why."""
    lines = (folder / "__run__" / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    failed = {item["path"]: item["error"] for item in map(json.loads, lines)}
    assert len(failed) == len(lines)
    return failed


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two runs' shards are the same, name by name and byte by byte."""
    ours, theirs = ({path.name: path.read_bytes() for path in folder.glob("*.*")} for folder in (one, other))
    return bool(ours) and ours == theirs
