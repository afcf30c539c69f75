"""Codes as bits: the same arrays come back, from memory and from shards, and others can unpack them in a few lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import TokensError
from streamrvq.corpus import encode_corpus
from streamrvq.tokens import open_tokens
from streamrvq.tokens.packing import bits_of, pack, packed_size, unpack
from tests.support.corpora import make_audio, rows_in, unpacked


@given(bits=st.integers(1, 16), data=st.data())
def test_packed_and_unpacked(bits: int, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(0, 40)))
    codes = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 1 << bits, shape).astype(np.uint16)
    packed = pack(codes, bits)
    assert len(packed) == packed_size(codes.size, bits) == -(-codes.size * bits // 8)
    assert (unpacked(packed, codes.size, bits) == codes.ravel()).all()  # one by one, as whole numbers
    back = unpack(np.frombuffer(packed, np.uint8), codes.size, bits)
    assert back.dtype == np.uint16
    assert (back == codes.ravel()).all()
    with pytest.raises(ValueError, match="bits"):
        pack(np.full((1, 1), 1 << bits if bits < 16 else 0xFFFF, np.uint16), min(bits, 15))


@pytest.mark.parametrize("entries, bits", [(1, 1), (2, 1), (3, 2), (64, 6), (1000, 10), (1024, 10), (1025, 11),
                                           (65536, 16)])  # fmt: skip
def test_bits(entries: int, bits: int) -> None:
    assert bits_of(entries) == bits


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """One corpus, packed and not."""
    folder = tmp_path_factory.mktemp("both")
    audio = make_audio(folder / "in")
    for name, packed in (("plain", False), ("packed", True)):
        encode_corpus([audio], folder / name, weights, workers=1, channels="each", segment_seconds=0.05, pack=packed,
                      shard_bytes=10_000)  # fmt: skip
    return folder


def test_packed_shards_hold_the_same(both: Path) -> None:
    plain, packed = open_tokens(both / "plain"), open_tokens(both / "packed")
    assert [(s.path, s.channel, s.frames) for s in plain] == [(s.path, s.channel, s.frames) for s in packed]
    for one, other in zip(plain, packed, strict=True):
        assert (one.read() == other.read()).all()
        assert (one.read(0.01, 0.06, 2) == other.read(0.01, 0.06, 2)).all()
    for one_row, other_row in zip(rows_in(both / "plain"), rows_in(both / "packed"), strict=True):
        assert (one_row.pop("codes") == other_row.pop("codes")).all()
        assert one_row == other_row
    for path in (both / "plain").glob("*.parquet"):
        metadata = [pq.read_metadata(folder / path.name).metadata for folder in (both / "plain", both / "packed")]
        assert metadata[0][b"streamrvq.crc32"] == metadata[1][b"streamrvq.crc32"]  # of the codes, however they are kept
        heads = [json.loads(some[b"streamrvq"]) for some in metadata]
        assert heads[1] == heads[0] | {"version": 2, "bits": 6}


def test_others_unpack_it_with_numpy(both: Path) -> None:
    """The lines of docs/guide/corpora.md."""
    table = pq.read_table(both / "packed")
    bits = json.loads(table.schema.metadata[b"streamrvq"])["bits"]
    signals = {(signal.path, signal.channel): signal for signal in open_tokens(both / "plain")}
    for row in table.to_pylist():
        shape = row["n_quantizers"], row["frames"]
        one = np.unpackbits(np.frombuffer(row["packed"], np.uint8), bitorder="little", count=shape[0] * shape[1] * bits)
        codes = (one.reshape(*shape, bits) << np.arange(bits)).sum(-1)
        signal, first = signals[row["path"], row["channel"]], row["start_frame"]
        assert (codes == signal.read_frames(first, first + row["frames"])).all()


@pytest.mark.parametrize("change", ["bit", "short", "bits", "none", "list"])
def test_damage_is_found(both: Path, tmp_path: Path, change: str) -> None:
    path = min((both / "packed").glob("*.parquet"))
    table = pq.read_table(path)
    metadata: dict[Any, Any] = dict(pq.read_metadata(path).metadata)
    data = table["packed"].to_pylist()
    metadata.pop(b"ARROW:schema")
    row = next(number for number, some in enumerate(data) if len(some) > 2)
    if change == "bit":
        data[row] = bytes([data[row][0] ^ 1]) + data[row][1:]
    elif change == "short":
        data[row] = data[row][:-1]
    elif change in ("bits", "none"):
        head = json.loads(metadata[b"streamrvq"]) | {"bits": 17}
        if change == "none":
            del head["bits"]
        metadata[b"streamrvq"] = json.dumps(head).encode()
    column = pa.array([[1]] * len(data)) if change == "list" else pa.array(data, pa.binary())
    at = table.schema.get_field_index("packed")
    pq.write_table(table.set_column(at, "packed", column).replace_schema_metadata(metadata), tmp_path / "x.parquet")
    with pytest.raises(TokensError, match=r"x\.parquet"):
        for signal in open_tokens(tmp_path / "x.parquet"):
            signal.read()
