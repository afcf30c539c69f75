"""A plan as a list of what is computed: convolutions as products, and layers without a matrix; where results go.

Knows: the layers of geometry/. Does not know: tiles, addresses, steps. The native engine's plan/ does the same in
C++, and calls all of them convolutions, too.

Results go through the next convolution's activation. At the head of a residual unit they are also kept as they are, and
they are joined to the results of the unit's last convolution, as late as those are. All of that happens where results
leave a kernel, so `hold` and `join` are no work of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import EngineError
from ...geometry import Activation, Layer, LayerKind, Plan
from ..rotary import inverse_frequencies
from .products import Array, Product, convolved, linear

Tensors = Mapping[str, Array]
_BASE = Activation.NONE, Activation.SNAKE  #: what every tile has


@dataclasses.dataclass(frozen=True)
class History:
    """What is kept between steps: ``rows`` × ``channels`` numbers at ``offset`` of a stream's state."""

    rows: int
    channels: int
    offset: int

    @property
    def size(self) -> int:
        return self.rows * self.channels


_NOTHING = History(0, 0, 0)


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
    """A layer that computes. Norms, attentions and depthwise transposed convolutions have no product."""

    layer: Layer
    rows: int  #: of its results, a hop
    columns: int  #: of such a row
    history: History = _NOTHING  #: past inputs
    product: Product | None = None  #: of an LSTM: the input's part of the gates
    memory: History = _NOTHING  #: of an LSTM: h, then c; of an attention: keys and values
    recurrent: Array | None = None  #: of an LSTM ``[units, 4 · units]``
    weight: Array | None = None  #: of a norm ``[channels]``; of a depthwise convolution ``[channels, 2 · stride]``
    bias: Array | None = None  #: of those ``[channels]``
    frequencies: Array | None = None  #: of an attention
    epilogue: Epilogue = dataclasses.field(default_factory=Epilogue)
    join: int | None = None  #: the skip that is added to the results
    shortcut: Product | None = None  #: which the skip goes through before
    scale: Array | None = None  #: a factor a column for the results before they are joined

    @property
    def more(self) -> bool:
        """Whether its tile must have more than DAC needs."""
        return self.scale is not None or self.epilogue.activation not in _BASE

    @property
    def fills(self) -> bool:
        """Whether something is to be put beside its input: see fill.cuh."""
        layer = self.layer
        return layer.kind == LayerKind.CONV and (layer.fills_up or bool(layer.history and layer.pad))


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
        self._plan, self._tensors, self._epilogue, self._offset = plan, tensors, self.made.input, 0
        self._columns = plan.layers[0].cin  # of the running value's rows

    def add(self, layer: Layer) -> None:
        match layer.kind:
            case LayerKind.HOLD:
                return self._hold(layer)
            case LayerKind.JOIN:
                return self._join(layer)
            case LayerKind.CONV:
                made = self._convolution(layer)
            case LayerKind.TRANSPOSED_CONV:
                made = self._convolution(layer) if layer.groups == 1 else self._depthwise(layer)
            case LayerKind.NORM:
                made = Convolution(layer, layer.rate_out, layer.cout)
                made.weight, made.bias = self._weight(layer), self._bias(layer)
            case LayerKind.LSTM | LayerKind.ATTENTION:
                if not self._plan.causal:
                    raise EngineError(f"the cuda engine has LSTMs and attention in causal plans only; got {layer.name}")
                made = self._lstm(layer) if layer.kind == LayerKind.LSTM else self._attention(layer)
            case _:
                raise EngineError(f"the cuda engine does not know the layer kind {layer.kind!r}; use engine='native'")
        self._activate(layer)
        self.made.convolutions.append(made)
        self._epilogue, self._columns = made.epilogue, made.columns

    def _tensor(self, name: str) -> Array:
        return np.asarray(self._tensors[name], np.float32)

    def _weight(self, layer: Layer) -> Array:
        assert layer.tensors is not None
        return self._tensor(layer.tensors.weight)

    def _bias(self, layer: Layer) -> Array | None:
        assert layer.tensors is not None
        return None if layer.tensors.bias is None else self._tensor(layer.tensors.bias)

    def _history(self, layer: Layer) -> History:
        history = History(layer.history, layer.kept, self._offset)
        self._offset += history.size
        return history

    def _convolution(self, layer: Layer) -> Convolution:
        if layer.groups > 1:
            raise EngineError(f"the cuda engine has no grouped convolutions, as {layer.name!r} is; use engine='torch'")
        product = convolved(layer, self._weight(layer), self._bias(layer))
        rows = layer.rate_out * layer.cout // product.columns
        return Convolution(layer, rows, product.columns, self._history(layer), product)

    def _depthwise(self, layer: Layer) -> Convolution:
        if not layer.groups == layer.cin == layer.cout or layer.history != 1 or layer.padding:
            raise EngineError(f"the cuda engine has depthwise convolutions that are causal only; got {layer.name!r}")
        made = Convolution(layer, layer.rate_out, layer.cout, self._history(layer))
        made.weight, made.bias = self._weight(layer), self._bias(layer)
        return made

    def _lstm(self, layer: Layer) -> Convolution:
        assert layer.tensors is not None
        if layer.tensors.recurrent is None:
            raise EngineError(f"the LSTM {layer.name} needs its second weight")
        product = linear(self._weight(layer), self._bias(layer))
        made = Convolution(layer, layer.rate_out, layer.cout, product=product, memory=self._history(layer))
        made.recurrent = np.ascontiguousarray(self._tensor(layer.tensors.recurrent).T)
        return made

    def _attention(self, layer: Layer) -> Convolution:
        made = Convolution(layer, layer.rate_out, layer.cout, memory=self._history(layer))
        made.frequencies = inverse_frequencies(layer.cout // layer.heads, layer.theta)
        return made

    def _activate(self, layer: Layer) -> None:
        """The layer's activation is applied where its input is made, whose row may have several samples' columns."""
        self._epilogue.activation = layer.activation
        match layer.activation:
            case Activation.NONE | Activation.ELU | Activation.GELU:
                return
            case Activation.SNAKE:
                assert layer.tensors is not None
                name = layer.tensors.activation
                if name is None:
                    raise EngineError(f"the snake in front of {layer.name} needs its alpha")
                one = snake_constants(self._tensor(name).reshape(-1))
                self._epilogue.constants = tuple(np.tile(values, self._columns // layer.cin) for values in one)
            case _:
                raise EngineError(
                    f"the cuda engine does not know the activation {layer.activation!r}; use engine='native'"
                )

    def _hold(self, layer: Layer) -> None:
        if self.holding is not None or self._epilogue.skip is not None:
            raise EngineError("a residual unit inside another")
        self.holding = self._epilogue.skip = len(self.made.skips)
        self.made.skips.append(Skip(layer.rate_in, layer.cin, _NOTHING))

    def _join(self, layer: Layer) -> None:
        last: Any = self.made.convolutions[-1] if self.made.convolutions else None
        if self.holding is None or last is None or last.join is not None or last.epilogue.skip is not None:
            raise EngineError("a join that no convolution of the same unit comes before")
        if (layer.tensors or layer.scale) and (last.product is None or last.recurrent is not None):
            raise EngineError("only a convolution's results are scaled, or joined with a shortcut")
        self.made.skips[self.holding].history = self._history(layer)
        if layer.tensors is not None:
            last.shortcut = linear(self._weight(layer), self._bias(layer))
        if layer.scale is not None:
            last.scale = self._tensor(layer.scale)
        last.join, self.holding = self.holding, None


def snake_constants(alpha: Array) -> tuple[Array, Array, Array]:
    """α/π in two floats, and 1/(α + 1e-9): in double precision, rounded once."""
    turn = alpha.astype(np.float64) / 3.14159265358979323846
    high = turn.astype(np.float32)
    low = (turn - high.astype(np.float64)).astype(np.float32)
    return high, low, (1.0 / (alpha.astype(np.float64) + 1e-9)).astype(np.float32)
