"""Shards: the columns of their rows, and their metadata.

A shard is a Parquet file. A row is a signal, or a segment of a long signal, whose segments are consecutive rows.

    path          string        the source, as it was given
    channel       int16         −1: the file's only channel, or the mean of all; otherwise the channel, from 0
    segment       int32         number of the row in its signal, from 0
    offset        int64         position of the row's first sample in its signal, at source_rate
    num_samples   int64         of the row, at source_rate; a signal's rows hold all of its samples, each once
    source_rate   int32         Hz, of the original signal
    start_frame   int64         index in its signal of the row's first frame
    frames        int32         T of the row
    n_quantizers  int16         K
    sample_rate   int32         Hz, the codec's; a frame is hop_length samples of it
    hop_length    int32
    codec_hash    string        tokens of equal hashes may be mixed
    codes         list<uint16>  [K, T] level by level: the first j · T are those of the first j levels

A shard with packed codes has ``packed``, binary, in place of ``codes``: the same codes as bits (packing.py). Its
version is 2, and ``streamrvq`` in its metadata has ``bits``. Further columns are those of the manifest that named the
source: text, int64, double or bool, and null where the manifest says nothing.

A signal without a frame is one row with no codes. The file's metadata holds JSON under two keys. ``streamrvq`` says
what made the codes (`ABOUT`). ``streamrvq.shard`` says what the shard holds, and which sources failed and why. A third
key, ``streamrvq.crc32``, holds 8 hexadecimal digits for each row: the CRC-32 of its codes as little-endian bytes. It is
no column, so that shards with and without it have one schema. Older shards lack it. A fourth key,
``streamrvq.resampler``, names what brought signals to the codec's rate. It is there if a row of the shard has a
``source_rate`` that is another. A fifth, ``streamrvq.filling``, holds spaces. It is there if a row group has so many
equal codes that readers would not believe a file of that size (`limits.CODES_PER_BYTE`).

Knows: this layout. Does not know: where rows come from or go to.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from ..resampling import FORMER_RESAMPLER
from ..system.foreign_data import one_line
from ..system.optional import need
from .limits import CODES_PER_BYTE, MOST_GROUP_CODES
from .packing import bits_of

FORMAT, VERSION, PACKED_VERSION = "streamrvq.shard", 1, 2
#: The column of codes, if they are packed.
PACKED = "packed"
#: The keys of a shard's metadata.
ABOUT_KEY, SHARD_KEY, CHECKSUMS_KEY = b"streamrvq", b"streamrvq.shard", b"streamrvq.crc32"
RESAMPLER_KEY, FILLING_KEY = b"streamrvq.resampler", b"streamrvq.filling"
#: What ``streamrvq`` in the metadata holds beside ``format`` and ``version``.
ABOUT = ("codec", "codec_hash", "trained", "sample_rate", "hop_length", "n_codebooks", "codebook_size", "tail")

#: Bytes of what ``streamrvq`` in the metadata may hold; a codec's name is the longest part.
_LONGEST_ABOUT = 1 << 20
#: The same of the resampler's name.
_LONGEST_NAME = 256

_INTEGERS = {
    "channel": "int16", "segment": "int32", "offset": "int64", "num_samples": "int64", "source_rate": "int32",
    "start_frame": "int64", "frames": "int32", "n_quantizers": "int16", "sample_rate": "int32", "hop_length": "int32",
}  # fmt: skip
#: All columns except the codes: they form the index of a shard.
INDEX = ("path", *_INTEGERS, "codec_hash")


def arrow() -> Any:
    """The module pyarrow. Raises `ExtraError` if it is not installed."""
    return need("pyarrow", "corpus", "shards need")


def parquet() -> Any:
    """The module pyarrow.parquet. Raises `ExtraError` if it is not installed."""
    return need("pyarrow.parquet", "corpus", "shards need")


def schema(about: dict[str, Any], further: Sequence[tuple[str, str]] = (), pack: bool = False) -> Any:
    """The Arrow schema of a shard.

    Args:
        about: has the keys `ABOUT`.
        further: names and kinds of further columns: string, int64, double or bool.
        pack: codes as bits.
    """
    pa = arrow()
    fields = [("path", pa.string()), *((name, getattr(pa, kind)()) for name, kind in _INTEGERS.items())]
    fields += [("codec_hash", pa.string())]
    fields += [(PACKED, pa.binary()) if pack else ("codes", pa.list_(pa.uint16()))]
    head = {"format": FORMAT, "version": PACKED_VERSION if pack else VERSION, **{name: about[name] for name in ABOUT}}
    if pack:
        head["bits"] = bits_of(about["codebook_size"])
    columns = [pa.field(name, kind, nullable=False) for name, kind in fields]
    columns += [pa.field(name, getattr(pa, {"double": "float64", "bool": "bool_"}.get(kind, kind))())
                for name, kind in further]  # fmt: skip
    return pa.schema(columns, {ABOUT_KEY: json.dumps(head).encode()})


def about_of(metadata: dict[bytes, bytes] | None, path: object) -> dict[str, Any]:
    """What a shard's metadata says about its codec: the keys `ABOUT`; and ``bits``, 0 if its codes are not packed.

    Raises:
        TokensError: it is not a shard of ours, or one of a newer version.
    """
    try:
        text = (metadata or {})[ABOUT_KEY]
        if len(text) > _LONGEST_ABOUT:
            raise ValueError(f"{len(text)} bytes")
        about: dict[str, Any] = json.loads(text)
        ours, version, bits = about["format"] == FORMAT, about["version"], about.get("bits", 0)
    except (KeyError, TypeError, ValueError, RecursionError):
        ours, version, bits = False, None, 0
    if not ours:
        raise TokensError(f"{path} is a Parquet file but no shard of tokens; wanted one of 'streamrvq encode --shards'")
    if version not in (VERSION, PACKED_VERSION):
        raise TokensError(
            f"{path} is a shard of version {one_line(repr(version), 40)}; this streamrvq reads {VERSION} and "
            f"{PACKED_VERSION}: update it"
        )
    if type(bits) is not int or not (1 <= bits <= 16 if version == PACKED_VERSION else bits == 0):
        raise TokensError(f"{path} has codes of {one_line(repr(bits), 40)} bits; it is damaged: encode it again")
    if missing := [name for name in ABOUT if name not in about]:
        raise TokensError(f"{path} does not say {', '.join(missing)}; it is damaged: encode it again")
    return {name: about[name] for name in ABOUT} | {"bits": bits}


def checksum(codes: npt.NDArray[np.uint16]) -> int:
    """The checksum of a row's codes, level by level."""
    return zlib.crc32(np.ascontiguousarray(codes, "<u2").data)


def checksums_text(checksums: Sequence[int]) -> str:
    """Checksums as a shard's metadata holds them."""
    return "".join(f"{value:08x}" for value in checksums)


def checksums_of(metadata: dict[bytes, bytes] | None, rows: int, path: object) -> npt.NDArray[np.uint32] | None:
    """The checksum of each row; None in a shard that has none.

    Raises:
        TokensError: there are not ``rows`` of them.
    """
    text = (metadata or {}).get(CHECKSUMS_KEY)
    if text is None:
        return None
    try:
        data = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        data = b""
    if len(text) != 8 * rows or len(data) != 4 * rows:
        raise TokensError(f"{path} has {rows} rows, and checksums that are not theirs; it is damaged: encode it again")
    return np.frombuffer(data, ">u4").astype(np.uint32)


def filling(codes: int, size: int) -> str:
    """What a file of ``size`` bytes needs under `FILLING_KEY`, if its largest row group has so many codes."""
    return " " * max(0, -(-codes // CODES_PER_BYTE) - size) if codes > MOST_GROUP_CODES else ""


def resampler_of(metadata: dict[bytes, bytes] | None, path: object) -> str:
    """What resampled the rows of a shard whose ``source_rate`` is not the codec's rate.

    Raises:
        TokensError: its name is too long, or not text.
    """
    name = (metadata or {}).get(RESAMPLER_KEY)
    if name is None:
        return FORMER_RESAMPLER
    try:
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError
        return name.decode()
    except ValueError:
        raise TokensError(
            f"{path} names its resampler by {len(name)} bytes that are no name; it is damaged: encode it again"
        ) from None
