"""Codes as bits: each takes as many as its codebook needs, the lowest first, one after the other, level by level.

With 1024 entries a code takes 10 bits. Four codes take 5 bytes, and a row ends with a whole byte.

Knows: this order. Does not know: files.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def bits_of(entries: int) -> int:
    """Bits that a code of a codebook with so many entries takes, at least 1 and at most 16."""
    return max(1, (entries - 1).bit_length())


def packed_size(codes: int, bits: int) -> int:
    """Bytes that so many codes take."""
    return -(-codes * bits // 8)


def pack(codes: npt.NDArray[np.uint16], bits: int) -> bytes:
    """Codes ``[K, T]`` as bits.

    Raises:
        ValueError: a code takes more bits.
    """
    if codes.size and int(codes.max()) >> bits:
        raise ValueError(f"a code is {codes.max()}; wanted {bits} bits")
    flat = np.ascontiguousarray(codes, "<u2").view(np.uint8).ravel()
    return np.packbits(np.unpackbits(flat, bitorder="little").reshape(-1, 16)[:, :bits], bitorder="little").tobytes()


def unpack(data: npt.NDArray[np.uint8], codes: int, bits: int) -> npt.NDArray[np.uint16]:
    """The first ``codes`` codes in ``data``, which has room for them: uint16 ``[codes]``."""
    wide = np.zeros((codes, 16), np.uint8)
    wide[:, :bits] = np.unpackbits(data, bitorder="little", count=codes * bits).reshape(codes, bits)
    return np.packbits(wide, bitorder="little").view("<u2").astype(np.uint16)
