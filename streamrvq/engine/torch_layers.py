"""The layers of plans on torch's matrix products: each kind's weights, and what it computes in a step.

Values are time-major, ``[B, T, C]``, so that the window of an output lies in memory as it is multiplied, and a
convolution is one product ``[B·n, kernel·C] × [kernel·C, C_out]``: torch's own ``conv1d`` takes a slow path channel by
channel for signals as short as one hop.

Knows: activations, convolutions, joins, LSTMs, norms, attention. Does not know: states, ends of signals
(torch_edges.py), quantisers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..errors import EngineError
from ..geometry import Activation, Layer, LayerKind
from .rotary import rotations

Tensors = Mapping[str, npt.NDArray[np.float32]]


class TorchLayers:
    """Layers with their weights.

    Args:
        layers: of any number of plans.
        tensors: folded weights under the names that the layers give.
        dtype: float32 or float64.

    Raises:
        EngineError: an unknown activation, or one without its parameters.
    """

    def __init__(self, layers: Iterable[Layer], tensors: Tensors, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._weights: dict[str, torch.Tensor] = {}  # by the tensors' own names; of convolutions as matrices
        self._inverses: dict[str, torch.Tensor] = {}  # 1/(α + 1e-9), by the name of α
        self._lstms: dict[str, torch.nn.LSTM] = {}  # by the name of the weight
        for layer in layers:
            self._put(layer, tensors)

    def _own(self, array: npt.NDArray[Any]) -> torch.Tensor:
        # A copy: weights may be read-only views of a mapped file, which torch must not alias.
        return torch.tensor(np.ascontiguousarray(array, self._dtype))

    def _put(self, layer: Layer, tensors: Tensors) -> None:
        self._put_activation(layer, tensors)
        if layer.scale is not None:
            self._weights[layer.scale] = self._own(tensors[layer.scale])
        if (names := layer.tensors) is None:
            return
        weight, bias = tensors[names.weight], None if names.bias is None else tensors[names.bias]
        match layer.kind:
            case LayerKind.LSTM:
                assert names.recurrent is not None
                self._lstms[names.weight] = self._lstm(layer, weight, tensors[names.recurrent], bias)
            case LayerKind.NORM:
                self._weights[names.weight] = self._own(weight)
            case _:
                self._weights[names.weight] = self._own(_matrix(weight, layer))
        if names.bias is not None and bias is not None:
            transposed = layer.kind == LayerKind.TRANSPOSED_CONV and layer.groups == 1
            self._weights[names.bias] = self._own(np.tile(bias, layer.stride) if transposed else bias)

    def _put_activation(self, layer: Layer, tensors: Tensors) -> None:
        match layer.activation:
            case Activation.NONE | Activation.ELU | Activation.GELU:
                pass
            case Activation.SNAKE:
                name = _parameters(layer)
                alpha = tensors[name].reshape(-1)
                self._weights[name] = self._own(alpha)
                self._inverses[name] = self._own(1 / (alpha.astype(self._dtype) + self._dtype.type(1e-9)))
            case _:
                raise _unknown_activation(layer)

    def _lstm(self, layer: Layer, weight: Any, recurrent: Any, bias: Any) -> torch.nn.LSTM:
        lstm = torch.nn.LSTM(layer.cin, layer.cout, batch_first=True, dtype=self._own(bias).dtype)
        values = {"weight_ih_l0": weight, "weight_hh_l0": recurrent, "bias_ih_l0": bias, "bias_hh_l0": 0 * bias}
        lstm.load_state_dict({name: self._own(value) for name, value in values.items()})
        return lstm.requires_grad_(False)

    def activate(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """The activation in front of a layer."""
        match layer.activation:
            case Activation.NONE:
                return x
            case Activation.SNAKE:  # Ziyin et al. 2020: x + sin²(αx)/(α + 1e-9)
                alpha = _parameters(layer)
                sine = torch.sin(x * self._weights[alpha])
                return torch.addcmul(x, sine * self._inverses[alpha], sine)
            case Activation.ELU:
                return F.elu(x)
            case Activation.GELU:
                return F.gelu(x)
            case _:
                raise _unknown_activation(layer)

    def convolve(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """x ``[B, history + n, C]`` → ``[B, n', C_out]``: the windows of all outputs times the weights."""
        rows, length, channels = x.shape
        # A transposed convolution's window is the kept input and its successor, for s outputs at once.
        transposed = layer.kind == LayerKind.TRANSPOSED_CONV
        kernel, stride, dilation = (2, 1, 1) if transposed else (layer.kernel, layer.stride, layer.dilation)
        count = (length - (kernel - 1) * dilation - 1) // stride + 1
        strides = (length * channels, stride * channels, dilation * channels, 1)
        windows = x.contiguous().as_strided((rows, count, kernel, channels), strides)
        assert layer.tensors is not None  # as every convolution's are
        weight, bias = self._weights[layer.tensors.weight], self._bias(layer)
        if layer.groups == 1:
            flat = windows.reshape(rows * count, kernel * channels)
            y = flat @ weight if bias is None else torch.addmm(bias, flat, weight)
            return y.view(rows, -1, layer.cout)
        groups = layer.groups
        each = windows.reshape(rows * count, kernel, groups, channels // groups).permute(2, 0, 1, 3)
        y = torch.bmm(
            each.reshape(groups, rows * count, -1), weight
        )  # [groups, windows, outputs of one · C_out / groups]
        y = y.view(groups, rows * count, -1, layer.cout // groups).permute(1, 2, 0, 3).reshape(rows, -1, layer.cout)
        return y if bias is None else y + bias

    def _bias(self, layer: Layer) -> torch.Tensor | None:
        assert layer.tensors is not None
        return None if layer.tensors.bias is None else self._weights[layer.tensors.bias]

    def join(self, held: torch.Tensor, branch: torch.Tensor, layer: Layer) -> torch.Tensor:
        """The end of a residual unit."""
        if layer.tensors is not None:
            held = self.convolve(held, layer)
        return held + (branch if layer.scale is None else branch * self._weights[layer.scale])

    def norm(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """A layer norm of each row."""
        assert layer.tensors is not None
        return F.layer_norm(x, (layer.cout,), self._weights[layer.tensors.weight], self._bias(layer), layer.epsilon)

    def recur(self, past: torch.Tensor, x: torch.Tensor, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
        """An LSTM's layer from the state ``past [B, 2, H]``, h and c: its outputs, and the state after them."""
        assert layer.tensors is not None
        before = past[:, 0][None].contiguous(), past[:, 1][None].contiguous()
        y, (h, c) = self._lstms[layer.tensors.weight](x, before)
        return y, torch.stack((h[0], c[0]), dim=1)

    def attend(
        self, past: torch.Tensor, x: torch.Tensor, positions: list[int], layer: Layer
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Causal attention.

        Args:
            past: ``[B, window − 1, 2C]``: rotated keys and values before this step; those before a row's position 0
                are not looked at.
            x: ``[B, n, 3C]``: q, k and v.
            positions: each row's of ``x[:, 0]``.

        Returns:
            ``[B, n, C]``, and ``past`` for the next step.
        """
        rows, count, _ = x.shape
        heads, window = layer.heads, layer.window
        dim = layer.cout // heads
        q, k, v = (part.view(rows, count, heads, dim) for part in x.chunk(3, dim=2))
        at = np.array(positions, np.int64)[:, None] + np.arange(count)
        cos, sin = (torch.from_numpy(part).to(x.dtype)[:, :, None] for part in rotations(at, dim, layer.theta))
        q, k = _rotated(q, cos, sin), _rotated(k, cos, sin)
        fresh = torch.cat((k.reshape(rows, count, -1), v.reshape(rows, count, -1)), dim=2)
        both = torch.cat((past, fresh), dim=1) if window > 1 else fresh
        keys, values = (part.reshape(rows, -1, heads, dim).transpose(1, 2) for part in both.chunk(2, dim=2))
        # Column j is position p + j − (window − 1), and query i sees columns i … i + window − 1, from position 0 on.
        query, column = torch.arange(count)[:, None], torch.arange(window - 1 + count)
        seen = (column >= query) & (column < query + window)
        begun = column >= window - 1 - torch.tensor(positions)[:, None]
        scores = q.transpose(1, 2) @ keys.transpose(2, 3) / dim**0.5
        scores = scores.masked_fill(~(seen[None, None] & begun[:, None, None]), -torch.inf)
        y = torch.softmax(scores, dim=3) @ values
        return y.transpose(1, 2).reshape(rows, count, -1), both[:, count:]


def _rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Channel i and its partner in the other half, turned by the angle of frequency i."""
    one, two = x.chunk(2, dim=3)
    return torch.cat((one * cos - two * sin, two * cos + one * sin), dim=3)


def _parameters(layer: Layer) -> str:
    """The name of the parameters of a layer's activation. Raises `EngineError` if the plan names none."""
    if layer.tensors is None or layer.tensors.activation is None:
        raise EngineError(
            f"layer {layer.name!r} names no parameters for its activation {layer.activation!r}; "
            "its Tensors.activation must name them"
        )
    return layer.tensors.activation


def _unknown_activation(layer: Layer) -> EngineError:
    return EngineError(
        f"the torch engine does not know the activation {layer.activation!r} of layer {layer.name!r}; "
        "add it to _put_activation and activate in streamrvq/engine/torch_layers.py"
    )


def _matrix(weight: npt.NDArray[Any], layer: Layer) -> npt.NDArray[Any]:
    """A folded weight as the right factor of `TorchLayers.convolve`, rows in the order of a window: tap, then channel.
    With groups there is one matrix for each."""
    groups = layer.groups
    if layer.kind == LayerKind.TRANSPOSED_CONV:
        # [C, C_out/g, 2s]: output r of input τ is x[τ − 1]·w[r + s] + x[τ]·w[r], and the window is (x[τ − 1], x[τ]).
        taps = weight.reshape(groups, layer.cin // groups, layer.cout // groups, 2, layer.stride)
        taps = taps.transpose(0, 3, 1, 4, 2)[:, ::-1]  # [g, 2, C/g, s, C_out/g]
        matrices = taps.reshape(groups, 2 * layer.cin // groups, -1)
    else:  # [C_out, C/g, kernel]
        taps = weight.reshape(groups, layer.cout // groups, layer.cin // groups, -1).transpose(0, 3, 2, 1)
        matrices = taps.reshape(groups, -1, layer.cout // groups)
    return matrices if groups > 1 else matrices[0]
