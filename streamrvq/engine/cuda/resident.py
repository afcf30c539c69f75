"""What of a plan stays on the device: weights, constants, the quantiser, the layers' edges.

Knows: convolutions, which tiles can compute them, the device. Does not know: steps.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from ...geometry import Layer, LayerKind, Plan
from .convolutions import Convolution, Epilogue, Tensors, compiled, padded, up
from .device import Device
from .kept import Kept
from .quantizer import Levels
from .structs import Activated, EdgeLayer, as_bytes
from .tiles import SHARED, Tile, choose, tiles

#: What a program does. ``"layers"`` has no quantiser and no tanh: tests and the self-test run it.
Kind = Literal["layers", "encode", "decode"]
#: Threads of a block of the kernel `column`.
COLUMN_THREADS = 128
#: How a layer's length follows from the one before: the numbers of edges.cuh.
SAME, CONVOLVED, TRANSPOSED = 0, 1, 2


def column_shared(taps: int, depth: int) -> int:
    """Bytes of shared memory of a block of column.cuh."""
    return 4 * ((COLUMN_THREADS + taps - 1) * (depth + 4) + taps * depth)


@dataclasses.dataclass
class ResidentConvolution:
    """A convolution whose numbers are on the device; addresses."""

    convolution: Convolution
    weights: dict[int, int]  #: for each padded depth that a tile wants
    bias: int
    activated: Activated  #: of its results
    column: int | None  #: its weights for the kernel `column`, which does it then
    aligned: bool  #: its rows and taps begin at multiples of 4

    def tile(self, rows: int, multiprocessors: int) -> Tile:
        """The tile for so many rows of all streams."""
        c = self.convolution
        return choose(rows, c.columns, c.taps, c.depth, self.aligned, multiprocessors, c.join is not None)

    def column_shared(self) -> int:
        """Bytes of shared memory of a block of the kernel `column`."""
        return column_shared(self.convolution.layer.kernel, self.convolution.layer.cin)


class Resident:
    """A plan on a device.

    Args:
        kind: what its programs do.
        levels: the quantiser on the device, for ``"encode"`` and ``"decode"``.

    Raises:
        EngineError: layers that make no plan, or a device without enough memory.
    """

    def __init__(self, device: Device, kind: Kind, plan: Plan, tensors: Tensors, levels: Levels | None = None) -> None:
        self.kind, self.plan, self.levels = kind, plan, levels
        self._kept = Kept(device)
        made = compiled(plan, tensors)
        self.input, self.input_activated = made.input, self._activated(made.input)
        self.skips = made.skips
        self.convolutions = [self._resident(c, c is made.convolutions[-1]) for c in made.convolutions]
        for resident in self.convolutions:  # their matrices are on the device
            resident.convolution.matrix = np.empty((0, resident.convolution.columns), np.float32)
        layers = [None, *(c.layer for c in made.convolutions)]
        edges = [_edge(layer, plan) for layer in layers]
        #: Layers whose edges are computed, the input first. Causal padding needs none but the input's.
        self.edge_layers = 1 if plan.causal else len(edges)
        self.edges = self._kept.put(as_bytes(edges))

    def _activated(self, epilogue: Epilogue) -> Activated:
        addresses = [self._kept.put(_fours(values)) for values in epilogue.constants]
        return Activated(*addresses, *[0] * (3 - len(addresses)), kind=int(epilogue.activation))

    def _resident(self, c: Convolution, last: bool) -> ResidentConvolution:
        aligned = c.row_step % 4 == 0 and (c.taps == 1 or c.tap_step % 4 == 0)
        depths = {up(c.depth, tile.depth) for tile in tiles() if tile.fits(c.depth, aligned)}
        resident = ResidentConvolution(
            convolution=c,
            weights={},
            bias=self._kept.put(_fours(c.bias)),
            activated=self._activated(c.epilogue),
            column=None,
            aligned=aligned,
        )
        alone = c.columns == 1 and c.join is None and c.epilogue.skip is None and not c.epilogue.activation
        simple = c.taps == 1 and c.layer.kind == LayerKind.CONV and c.layer.stride == 1 and c.layer.cin % 4 == 0
        if last and alone and simple and resident.column_shared() <= SHARED:
            resident.column = self._kept.put(c.matrix)
        else:
            resident.weights = {d: self._kept.put(padded(c.matrix, c.taps, c.depth, d)) for d in sorted(depths)}
        return resident


def _fours(values: np.typing.NDArray[np.float32]) -> np.typing.NDArray[np.float32]:
    """With zeros up to a multiple of 4."""
    out = np.zeros(up(len(values), 4), np.float32)
    out[: len(values)] = values
    return out


def _edge(layer: Layer | None, plan: Plan) -> EdgeLayer:
    """A layer's lengths as edges.cuh computes them; None: the input. See `Layer.out_length`."""
    if layer is None:
        return EdgeLayer(SAME, 1, 0, plan.unit_in, 0, plan.layers[0].cin)
    both = layer.padding + layer.right
    if layer.kind == LayerKind.TRANSPOSED_CONV:
        kind, extra = TRANSPOSED, layer.kernel - both
    else:
        kind, extra = CONVOLVED, both - ((layer.kernel - 1) * layer.dilation + 1)
    return EdgeLayer(kind, layer.stride, extra, layer.rate_out, layer.delay_out, layer.cout)
