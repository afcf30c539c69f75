"""The kernels' parameters, field by field as the headers in kernels/ declare them.

Knows: names, order and types of fields. Does not know: what they are set to (layers.py, coding.py,
program.py), or how they travel.

Pointers come first, then whole numbers of 64 bits, then of 32, so that no field needs padding. A pointer is an address
in the device's memory; 0 is null. tests/engine/cuda/test_structs.py compares every size with the compiled kernels'.
"""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import Structure, c_float, c_int32, c_int64, c_uint64, sizeof
from typing import Any

import numpy as np
import numpy.typing as npt


def _fields(pointers: str = "", longs: str = "", ints: str = "", floats: str = "") -> list[tuple[str, Any]]:
    kinds = ((pointers, c_uint64), (longs, c_int64), (ints, c_int32), (floats, c_float))
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


class Scaled(Structure):
    """epilogue.cuh"""

    _fields_ = [("conv", Conv), *_fields("scale")]


class Passed(Structure):
    """passed.cuh"""

    _fields_ = [
        *_fields("join plain active"),
        ("activation", Activated),
        *_fields(ints="join_stride plain_stride active_stride columns"),
    ]


class Norm(Structure):
    """rows.cuh"""

    _fields_ = [*_fields("in_ weight bias"), ("to", Passed), *_fields(ints="in_stride rows all", floats="epsilon")]


class Upsample(Structure):
    """rows.cuh"""

    _fields_ = [*_fields("in_ weights bias"), ("to", Passed), *_fields(ints="in_stride rows stride")]


class Rotate(Structure):
    """attention.cuh"""

    _fields_ = _fields(
        "in_ queries kept frequencies clock",
        ints="in_stride queries_stride kept_stride rate rows heads dim",
    )


class Attend(Structure):
    """attention.cuh"""

    _fields_ = [
        *_fields("queries kept clock"),
        ("to", Passed),
        *_fields(ints="queries_stride kept_stride rate rows heads dim window", floats="scale"),
    ]


class Lstm(Structure):
    """lstm.cuh"""

    _fields_ = [
        *_fields("gates weights hidden cell"),
        ("to", Passed),
        *_fields(ints="gates_stride hidden_stride cell_stride rows frame units"),
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


class Fill(Structure):
    """fill.cuh"""

    _fields_ = _fields("clock length layers fresh", ints="stride layer rate rows channels history step pad fills_up")


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


class Book(Structure):
    """nearest.cuh"""

    _fields_ = _fields("codebook across halves")


class Nearest(Structure):
    """nearest.cuh"""

    _fields_ = _fields("z books codes latents", ints="frames hops dim size count first all")


class Total(Structure):
    """nearest.cuh"""

    _fields_ = _fields("z books codes", ints="frames hops dim count first all onto")


#: All of them, by the names that they have in the headers.
STRUCTS: dict[str, type[Structure]] = {
    kind.__name__: kind
    for kind in (
        Activated, Conv, Scaled, Passed, Norm, Upsample, Rotate, Attend, Lstm, Column, Spread, Finish, EdgeLayer, Edges,
        Fill, Request, Tail, Move, Level, Quantise, Embed, Book, Nearest, Total,
    )
}  # fmt: skip


def as_bytes(values: Iterable[Structure]) -> npt.NDArray[np.uint8]:
    """Structs of one kind end to end, as C has an array of them."""
    return np.frombuffer(b"".join(bytes(value) for value in values), np.uint8)


def size_of(kind: type[Structure]) -> int:
    """Bytes."""
    return sizeof(kind)
