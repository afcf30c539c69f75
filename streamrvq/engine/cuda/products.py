"""A convolution as a matrix product: windows of the input times a matrix.

Knows: torch's layouts of weights, the depths that tiles want, the device. Does not know: plans, steps. The native
engine's plan/pack does the same in C++.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ...geometry import Layer, LayerKind
from .kept import Kept
from .tiles import Tile, choose, tiles

Array = npt.NDArray[np.float32]


@dataclasses.dataclass
class Product:
    """Each output row is a window of the input, ``taps · depth``, times ``matrix``.

    At dilation 1 a window is one run of numbers, so it is one tap of all of them.
    """

    taps: int
    depth: int  #: numbers of a tap
    tap_step: int  #: numbers from tap to tap
    row_step: int  #: numbers from row to row
    matrix: Array  #: ``[taps · depth, columns]``
    bias: Array  #: ``[columns]``

    @property
    def columns(self) -> int:
        return int(self.matrix.shape[1])


def convolved(layer: Layer, weight: Array, bias: Array | None) -> Product:
    """Of a convolution, transposed or not, with all channels in one group; ``bias`` None: zeros."""
    if layer.kind == LayerKind.CONV:  # weight [cout][cin][kernel]
        matrix = weight.transpose(2, 1, 0).reshape(-1, layer.cout)
        taps, dilation, stride, per_row = layer.kernel, layer.dilation, layer.stride, 1
    else:  # weight [cin][cout][kernel]: x[τ − 1] times the later half of the taps, then x[τ] times the first
        halves = weight.reshape(layer.cin, layer.cout, 2, layer.stride).transpose(2, 0, 3, 1)[::-1]
        matrix = halves.reshape(2 * layer.cin, layer.stride * layer.cout)
        taps, dilation, stride, per_row = 2, 1, 1, layer.stride
    depth = layer.cin
    if dilation == 1:
        taps, depth = 1, taps * depth
    bias = np.zeros(layer.cout, np.float32) if bias is None else bias
    matrix = np.ascontiguousarray(matrix)
    return Product(taps, depth, dilation * layer.cin, stride * layer.cin, matrix, np.tile(bias, per_row))


def linear(weight: Array, bias: Array | None = None) -> Product:
    """Of one tap, ``weight [columns, depth]`` or ``[columns, depth, 1]``."""
    columns, depth = weight.shape[:2]
    bias = np.zeros(columns, np.float32) if bias is None else bias
    return Product(1, depth, depth, depth, np.ascontiguousarray(weight.reshape(columns, depth).T), bias)


def padded(matrix: Array, taps: int, depth: int, to: int) -> Array:
    """``[taps · depth, columns]`` → ``[taps · to, columns rounded up to 4]``.

    What pads a tap's depth is −0: the input there is +0, their product is −0, and a sum plus −0 is the sum, −0 too.
    """
    columns = matrix.shape[1]
    out = np.full((taps, to, up(columns, 4)), -0.0, np.float32)
    out[:, :depth, :columns] = matrix.reshape(taps, depth, columns)
    return out.reshape(taps * to, -1)


def up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def fours(values: Array) -> Array:
    """With zeros up to a multiple of 4."""
    out = np.zeros(up(len(values), 4), np.float32)
    out[: len(values)] = values
    return out


class ResidentProduct:
    """A product whose numbers are on the device; addresses.

    Attributes:
        weights: for each padded depth that a tile wants.
        aligned: rows and taps begin at multiples of 4.
    """

    def __init__(self, kept: Kept, product: Product) -> None:
        p = self.product = product
        self.columns = p.columns
        self.aligned = p.row_step % 4 == 0 and (p.taps == 1 or p.tap_step % 4 == 0)
        depths = {up(p.depth, tile.depth) for tile in tiles() if tile.fits(p.depth, self.aligned)}
        self.weights = {d: kept.put(padded(p.matrix, p.taps, p.depth, d)) for d in sorted(depths)}
        self.bias = kept.put(fours(p.bias))
        p.matrix = np.empty((0, p.columns), np.float32)  # it is on the device

    def tile(self, rows: int, multiprocessors: int, joined: bool = False, more: bool = False) -> Tile:
        """The tile for so many rows of all streams."""
        p = self.product
        return choose(rows, self.columns, p.taps, p.depth, self.aligned, multiprocessors, joined, more=more)
