"""Token files, journals of recordings, and shards."""

from __future__ import annotations

import dataclasses
import json
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import soundfile

from streamrvq.corpus import encode_corpus
from streamrvq.tokens import DacFile, TokenFile, open_tokens, read_dac, read_tokens, write_dac, write_tokens
from streamrvq.tokens.journal import TokenJournal, journal_of, recover
from streamrvq.tokens.shards import Shard
from streamrvq.weights import save_weights

from ..small import CONFIG, weights
from ..target import Target, scratch, written

EMPTY = TokenFile(
    codes=np.zeros((3, 0), np.int64), codec="small", codec_hash="ab" * 32, trained=False, sample_rate=44_100,
    hop_length=8, source_rate=48_000, num_samples=0, start=77,
)  # fmt: skip


def _codes(frames: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, CONFIG.codebook_size, (3, frames))


def _use(path: Path) -> None:
    """Read every signal in every way."""
    signals = open_tokens(path)
    for number, signal in enumerate(signals):
        assert signals[number].path == signal.path
        assert signal.seconds >= 0
        assert signal.pcm_length >= 0
        signal.read(0.0, 0.001, 1)
        codes = signal.read()
        assert codes.shape == (signal.n_quantizers, signal.frames)
        assert not codes.size or (codes.min() >= 0 and codes.max() < 65536)
        assert all(value is None or isinstance(value, (str, int, float)) for value in signal.columns.values())


def _read_tokens(data: bytes) -> None:
    path, again = written("x.safetensors", data), scratch("again.safetensors")
    file = read_tokens(path)
    assert file.pcm_length >= 0
    assert file.seconds >= 0
    write_tokens(again, file)
    assert np.array_equal(read_tokens(again).codes, file.codes)
    _use(path)


def _token_seeds() -> list[bytes]:
    seeds, path = [], scratch("seed.safetensors")
    for frames, gaps in ((0, ()), (20, ()), (20, ((5, 6), (40, 2)))):
        write_tokens(path, dataclasses.replace(EMPTY, codes=_codes(frames), num_samples=8 * frames, gaps=gaps))
        seeds.append(path.read_bytes())
    return seeds


def _read_journal(data: bytes) -> None:
    target = scratch("recording.safetensors")
    target.unlink(missing_ok=True)
    recover(written("recording.safetensors.journal", data))
    _use(target)


def _journal_seeds() -> list[bytes]:
    seeds, path = [], scratch("seed-recording.safetensors")
    for end in (None, struct.pack("<Q", 200)):
        journal_of(path).unlink(missing_ok=True)
        journal = TokenJournal(path, EMPTY)
        journal.frames(_codes(5))
        journal.gap(20, 7)
        journal.frames(_codes(1))
        journal.close()
        seeds.append(journal_of(path).read_bytes() + (b"" if end is None else record(3, end)))
    return seeds


def record(kind: int, payload: bytes) -> bytes:
    """A record of a journal, with the right check."""
    data = struct.pack("<BI", kind, len(payload)) + payload
    return data + struct.pack("<I", zlib.crc32(data))


def _read_shard(data: bytes) -> None:
    path = written("shard.parquet", data)
    _use(path)
    Shard(path).verify()


def corpus(folder: Path) -> Path:
    """A folder of one shard: three files, the first in several rows; and the record of its run."""
    save_weights(weights(), folder / "small.safetensors")
    (folder / "in").mkdir()
    for number, samples in enumerate((900, 0, 100)):
        soundfile.write(folder / "in" / f"{number}.wav", np.sin(np.arange(samples) / 9), 44_100)
    encode_corpus([folder / "in"], folder / "out", folder / "small.safetensors", workers=1, segment_seconds=0.01)
    return folder / "out"


def _shard_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        (shard,) = corpus(Path(folder)).glob("*.parquet")
        return [shard.read_bytes()]


def _packed_seeds() -> list[bytes]:
    """A shard of codes as bits, with columns of a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder))
        rows = [{"path": f"in/{number}.wav", "text": "a" * number, "age": number, "on": True} for number in range(3)]
        (Path(folder) / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        encode_corpus([Path(folder) / "list.jsonl"], Path(folder) / "packed", Path(folder) / "small.safetensors",
                      workers=1, segment_seconds=0.01, pack=True)  # fmt: skip
        (shard,) = (Path(folder) / "packed").glob("*.parquet")
        return [shard.read_bytes()]


def _read_dac(data: bytes) -> None:
    path, again = written("x.dac", data), scratch("again.dac")
    file = read_dac(path)
    write_dac(again, file)
    assert repr(read_dac(again)) == repr(file)


def _dac_seeds() -> list[bytes]:
    path = scratch("seed.dac")
    write_dac(path, DacFile(_codes(4)[None], 4, 30, -20.5, 16_000))
    return [path.read_bytes()]


def journal_parts() -> tuple[dict[str, object], list[tuple[int, bytes]]]:
    """A right journal's head and its records."""
    data = _journal_seeds()[1]
    line, _, rest = data.partition(b"\n")
    records, at = [], 0
    while at < len(rest):
        kind, length = struct.unpack_from("<BI", rest, at)
        records.append((kind, rest[at + 5 : at + 5 + length]))
        at += 9 + length
    return json.loads(line), records


TARGETS = (
    Target("tokens", "a token file: safetensors", _read_tokens, _token_seeds),
    Target("journal", "a recording's journal", _read_journal, _journal_seeds),
    Target("shard", "a shard: Parquet", _read_shard, _shard_seeds),
    Target("packed-shard", "a shard of codes as bits, with columns of a manifest", _read_shard, _packed_seeds),
    Target("dac", "a .dac file of descript's package", _read_dac, _dac_seeds),
)
