"""What of a plan stays on the device: weights, constants, the quantiser, the layers' edges.

Knows: convolutions, which tiles can compute them, the device. Does not know: steps.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from ...geometry import Layer, LayerKind, Plan
from .convolutions import Convolution, Epilogue, Tensors, compiled
from .device import Device
from .kept import Kept
from .products import Array, ResidentProduct, fours
from .quantizer import Books, Levels
from .structs import Activated, EdgeLayer, as_bytes
from .tiles import SHARED

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
    """A convolution whose numbers are on the device; addresses, 0 where it has none."""

    convolution: Convolution
    activated: Activated  #: of its results
    product: ResidentProduct | None = None
    shortcut: ResidentProduct | None = None
    scale: int = 0
    recurrent: int = 0
    weight: int = 0  #: of what has no product, or of the kernel `column`
    bias: int = 0
    frequencies: int = 0
    column: bool = False  #: the kernel `column` does it

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

    def __init__(
        self, device: Device, kind: Kind, plan: Plan, tensors: Tensors, levels: Levels | Books | None = None
    ) -> None:
        self.kind, self.plan, self.levels = kind, plan, levels
        self._kept = Kept(device)
        made = compiled(plan, tensors)
        self.input, self.input_activated = made.input, self._activated(made.input)
        self.skips = made.skips
        self.convolutions = [self._resident(c, c is made.convolutions[-1]) for c in made.convolutions]
        layers = [None, *(c.layer for c in made.convolutions)]
        edges = [_edge(layer, plan) for layer in layers]
        #: Layers whose edges are computed, the input first. Causal padding needs none but the input's.
        self.edge_layers = 1 if plan.causal else len(edges)
        self.edges = self._kept.put(as_bytes(edges))

    @property
    def finish(self) -> bool:
        """Whether outputs go through tanh."""
        return self.kind == "decode" and self.plan.tanh

    def _activated(self, epilogue: Epilogue) -> Activated:
        addresses = [self._kept.put(fours(values)) for values in epilogue.constants]
        return Activated(*addresses, *[0] * (3 - len(addresses)), kind=int(epilogue.activation))

    def _put(self, values: Array | None) -> int:
        return 0 if values is None else self._kept.put(fours(np.ravel(values)))

    def _resident(self, c: Convolution, last: bool) -> ResidentConvolution:
        resident = ResidentConvolution(c, self._activated(c.epilogue))
        if c.product is None:
            channels = np.zeros(c.columns, np.float32)
            resident.weight, resident.bias = self._put(c.weight), self._put(channels if c.bias is None else c.bias)
            resident.frequencies = self._put(c.frequencies)
            c.weight = None
        elif last and self._is_column(c, resident):
            resident.column, resident.weight = True, self._kept.put(c.product.matrix)
            resident.bias = self._put(c.product.bias)
        else:
            resident.product = ResidentProduct(self._kept, c.product)
        if c.shortcut is not None:
            resident.shortcut = ResidentProduct(self._kept, c.shortcut)
        resident.scale, resident.recurrent = self._put(c.scale), self._put(c.recurrent)
        if c.recurrent is not None:
            c.recurrent = c.recurrent[:0]  # it is on the device
        return resident

    @staticmethod
    def _is_column(c: Convolution, resident: ResidentConvolution) -> bool:
        """Whether the kernel `column` can do the last convolution."""
        alone = c.columns == 1 and c.join is None and c.epilogue.skip is None and not c.epilogue.activation
        assert c.product is not None
        simple = c.product.taps == 1 and c.layer.stride == 1 and c.layer.cin % 4 == 0
        return alone and simple and c.layer.kind == LayerKind.CONV and resident.column_shared() <= SHARED


def _edge(layer: Layer | None, plan: Plan) -> EdgeLayer:
    """A layer's lengths as edges.cuh computes them; None: the input. See `Layer.out_length`."""
    if layer is None:
        return EdgeLayer(SAME, 1, 0, plan.unit_in, 0, plan.layers[0].cin)
    both = layer.padding + layer.right
    if layer.kind == LayerKind.TRANSPOSED_CONV:
        kind, extra = TRANSPOSED, layer.kernel - both
    elif layer.kind == LayerKind.CONV:
        kind, extra = CONVOLVED, both - ((layer.kernel - 1) * layer.dilation + 1)
    else:
        kind, extra = SAME, 0
    return EdgeLayer(kind, layer.stride, extra, layer.rate_out, layer.delay_out, layer.cout)
