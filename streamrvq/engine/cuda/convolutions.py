"""A plan as a list of convolutions: windows, weights as matrices, and what is done with each one's results.

Knows: the layers of geometry/. Does not know: tiles, addresses, steps. The native engine's plan/ does the same in
C++.

A convolution's results go through the next one's activation. At the head of a residual unit they are also kept as they
are, and they are joined to the results of the unit's last convolution, as late as those are. All of that happens where
results leave a tile, so `hold` and `join` are no work of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import EngineError
from ...geometry import Activation, Layer, LayerKind, Plan

Array = npt.NDArray[np.float32]
Tensors = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class History:
    """Past inputs kept between steps: ``rows`` × ``channels`` numbers at ``offset`` of a stream's state."""

    rows: int
    channels: int
    offset: int

    @property
    def size(self) -> int:
        return self.rows * self.channels


@dataclasses.dataclass
class Epilogue:
    """What is done with a convolution's results, or with the input."""

    activation: Activation = Activation.NONE
    constants: tuple[Array, ...] = ()  #: of the activation, one number a column
    skip: int | None = None  #: the skip that they are kept for


@dataclasses.dataclass
class Skip:
    """A residual unit's input, kept until it is joined."""

    rate: int  #: samples a hop
    channels: int
    history: History


@dataclasses.dataclass
class Convolution:
    """A convolution as a matrix product: each output row is a window of the input, ``taps · depth``, times ``matrix``.

    At dilation 1 a window is one run of numbers, so it is one tap of all of them.
    """

    layer: Layer
    taps: int
    depth: int  #: numbers of a tap
    tap_step: int  #: numbers from tap to tap
    row_step: int  #: numbers from row to row
    rows: int  #: a hop
    matrix: Array  #: ``[taps · depth, columns]``
    bias: Array  #: ``[columns]``
    history: History
    epilogue: Epilogue = dataclasses.field(default_factory=Epilogue)
    join: int | None = None  #: the skip that is added to the results

    @property
    def columns(self) -> int:
        return int(self.matrix.shape[1])


@dataclasses.dataclass
class Compiled:
    """All that a plan's layers come to."""

    plan: Plan
    input: Epilogue
    convolutions: list[Convolution]
    skips: list[Skip]


def compiled(plan: Plan, tensors: Tensors) -> Compiled:
    """The plan's layers as convolutions.

    Raises:
        EngineError: the layers do not make a plan.
    """
    builder = _Builder(plan, tensors)
    for layer in plan.layers:
        builder.add(layer)
    if not builder.made.convolutions or builder.holding is not None:
        raise EngineError("the plan has no convolution, or a skip that is never joined")
    return builder.made


class _Builder:
    """Follows the running value through the layers."""

    def __init__(self, plan: Plan, tensors: Tensors) -> None:
        self.made = Compiled(plan, Epilogue(), [], [])
        self.holding: int | None = None  # the skip that is not joined yet
        self._tensors, self._epilogue, self._offset = tensors, self.made.input, 0
        self._columns = plan.layers[0].cin  # of the running value's rows

    def add(self, layer: Layer) -> None:
        match layer.kind:
            case LayerKind.CONV | LayerKind.TRANSPOSED_CONV:
                self._convolution(layer)
            case LayerKind.HOLD:
                self._hold(layer)
            case LayerKind.JOIN:
                self._join(layer)
            case _:
                raise EngineError(f"the cuda engine does not know the layer kind {layer.kind!r}; use engine='native'")

    def _history(self, layer: Layer) -> History:
        history = History(layer.history, layer.cin, self._offset)
        self._offset += history.size
        return history

    def _convolution(self, layer: Layer) -> None:
        names = layer.tensors
        if names is None or names.bias is None:
            raise EngineError(f"the cuda engine does not know convolutions without a bias, as {layer.name!r} is")
        weight = np.asarray(self._tensors[names.weight], np.float32)
        bias = np.asarray(self._tensors[names.bias], np.float32)
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
        self._activate(layer)
        self.made.convolutions.append(
            Convolution(
                layer=layer, taps=taps, depth=depth, tap_step=dilation * layer.cin, row_step=stride * layer.cin,
                rows=layer.rate_out // per_row, matrix=np.ascontiguousarray(matrix), bias=np.tile(bias, per_row),
                history=self._history(layer),
            )
        )  # fmt: skip
        self._epilogue = self.made.convolutions[-1].epilogue
        self._columns = layer.cout * per_row

    def _activate(self, layer: Layer) -> None:
        """The layer's activation is applied where its input is made, whose row may have several samples' columns."""
        self._epilogue.activation = layer.activation
        match layer.activation:
            case Activation.NONE:
                return
            case Activation.SNAKE:
                assert layer.tensors is not None
                name = layer.tensors.activation
                if name is None:
                    raise EngineError(f"the snake in front of {layer.name} needs its alpha")
                one = snake_constants(np.asarray(self._tensors[name], np.float32).reshape(-1))
                self._epilogue.constants = tuple(np.tile(values, self._columns // layer.cin) for values in one)
            case _:
                raise EngineError(
                    f"the cuda engine does not know the activation {layer.activation!r}; use engine='native'"
                )

    def _hold(self, layer: Layer) -> None:
        if self.holding is not None or self._epilogue.skip is not None:
            raise EngineError("a residual unit inside another")
        self.holding = self._epilogue.skip = len(self.made.skips)
        self.made.skips.append(Skip(layer.rate_in, layer.cin, History(0, layer.cin, 0)))

    def _join(self, layer: Layer) -> None:
        last: Any = self.made.convolutions[-1] if self.made.convolutions else None
        if self.holding is None or last is None or last.join is not None or last.epilogue.skip is not None:
            raise EngineError("a join that no convolution of the same unit comes before")
        self.made.skips[self.holding].history = self._history(layer)
        last.join, self.holding = self.holding, None


def snake_constants(alpha: Array) -> tuple[Array, Array, Array]:
    """α/π in two floats, and 1/(α + 1e-9): in double precision, rounded once."""
    turn = alpha.astype(np.float64) / 3.14159265358979323846
    high = turn.astype(np.float32)
    low = (turn - high.astype(np.float64)).astype(np.float32)
    return high, low, (1.0 / (alpha.astype(np.float64) + 1e-9)).astype(np.float32)


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
