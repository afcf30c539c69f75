"""The kernels' parameters, field by field as the headers in kernels/ declare them.

Knows: names, order and types of fields. Does not know: what they are set to (program.py), and how they travel.

Pointers come first, then whole numbers of 64 bits, then of 32, so that no field needs padding. A pointer is an address
in the device's memory; 0 is null. tests/engine/cuda/test_structs.py compares every size with the compiled kernels'.
"""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import Structure, c_int32, c_int64, c_uint64, sizeof
from typing import Any

import numpy as np
import numpy.typing as npt


def _fields(pointers: str = "", longs: str = "", ints: str = "") -> list[tuple[str, Any]]:
    kinds = ((pointers, c_uint64), (longs, c_int64), (ints, c_int32))
    return [(name, kind) for names, kind in kinds for name in names.split()]


class Activated(Structure):
    """activations.cuh"""

    _fields_ = _fields("a b c", "kind")


class Conv(Structure):
    """epilogue.cuh"""

    _fields_ = [
        *_fields("in_ weights bias join plain active low high cut"),
        ("activation", Activated),
        *_fields(
            ints="in_stride row_step tap_step taps depth padded ldw columns rows all join_stride plain_stride "
            "active_stride quads"
        ),
    ]


class Column(Structure):
    """column.cuh"""

    _fields_ = _fields("in_ weights bias out low high cut", ints="in_stride taps depth rows out_stride finish")


class Spread(Structure):
    """ends.cuh"""

    _fields_ = [
        *_fields("in_ plain active low high"),
        ("activation", Activated),
        *_fields(ints="count channels plain_stride active_stride"),
    ]


class Finish(Structure):
    """ends.cuh"""

    _fields_ = _fields("x", "count")


class EdgeLayer(Structure):
    """edges.cuh"""

    _fields_ = _fields(longs="kind stride extra rate delay channels")


class Edges(Structure):
    """edges.cuh"""

    _fields_ = _fields("clock length layers low high cut", ints="rows hops")


class Request(Structure):
    """move.cuh"""

    _fields_ = _fields("states", "serial")


class Tail(Structure):
    """move.cuh"""

    _fields_ = _fields("buffer", "stride last offset size")


class Move(Structure):
    """move.cuh"""

    _fields_ = _fields("request slots tails done", "state_size", "count save")


class Level(Structure):
    """levels.cuh"""

    _fields_ = _fields("in_weight in_bias unit codebook out_weight out_bias")


class Quantise(Structure):
    """quantise.cuh"""

    _fields_ = _fields("z levels codes latents", ints="frames hops latent dim size count slab")


class Embed(Structure):
    """embed.cuh"""

    _fields_ = _fields("z levels codes", ints="frames hops latent dim count")


#: All of them, by the names that they have in the headers.
STRUCTS: dict[str, type[Structure]] = {
    kind.__name__: kind
    for kind in (
        Activated, Conv, Column, Spread, Finish, EdgeLayer, Edges, Request, Tail, Move, Level, Quantise, Embed
    )
}  # fmt: skip


def as_bytes(values: Iterable[Structure]) -> npt.NDArray[np.uint8]:
    """Structs of one kind end to end, as C has an array of them."""
    return np.frombuffer(b"".join(bytes(value) for value in values), np.uint8)


def size_of(kind: type[Structure]) -> int:
    """Bytes."""
    return sizeof(kind)
