"""The torch engine: the contract of base.py on torch's matrix products, float32 or float64, on any CPU that torch
runs on.

Knows: how to run a `Plan` one step further. Activations are time-major, ``[B, T, C]``, so that the window of an
output lies in memory as it is multiplied, and a convolution is one product ``[B·n, kernel·C] × [kernel·C, C_out]``:
torch's own ``conv1d`` takes a slow path channel by channel for signals as short as one hop. Does not know: padding at
the ends as such; it zeroes what lies outside the signal (`_mask`), which is what the offline network's zero padding
amounts to at every layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..config import CodecConfig
from ..errors import EngineError
from ..families import plan
from ..geometry import Activation, Direction, Layer, LayerKind, Level, Quantizer
from ..system.copying import NeverCopied, Shared
from .base import Codes, Floats, Ints, check_histories, check_step
from .counts import HopCounts
from .torch_states import Result, TorchStates
from .torch_threads import StepThreads, on_own_threads

_Edges = tuple[Ints, list[list[int]]]  # clock [B]; lengths [layers + 1][B], −1 where open


class TorchEngine(Shared, NeverCopied, error=EngineError, holds="a process's weights", instead="pickle its codec"):
    """The engine on torch; see `base.Engine`.

    float64 gives the same codes however audio is cut; float32 the same but for near-ties.

    Args:
        config: the codec.
        tensors: folded weights under the names that the plans give.
        threads: of torch, in this engine's calls; None: one, or ``OMP_NUM_THREADS``. In a forked child always one.
        dtype: ``"float32"`` or ``"float64"``.
    """

    name = "torch"
    row_hops = 32  #: the matrices are large enough then, and an activation is still a few MiB

    def __init__(
        self, config: CodecConfig, tensors: Mapping[str, npt.NDArray[np.float32]], *, threads: int | None, dtype: str
    ) -> None:
        self.config, self._threads = config, StepThreads(threads)
        self.dtype = np.dtype(dtype)
        self._torch_dtype = torch.float64 if dtype == "float64" else torch.float32
        #: By the tensors' own names; weights as matrices.
        self._weights: dict[str, torch.Tensor] = {}
        self._inverses: dict[str, torch.Tensor] = {}  # 1/(α + 1e-9), by the name of α
        self._units: dict[str, torch.Tensor] = {}  # codebooks of entries of length 1, by the name of the codebook
        encoder, decoder = plan(config, "encode"), plan(config, "decode")
        with self._threads.used():
            for layer in (*encoder.layers, *decoder.layers):
                self._put_layer(layer, tensors)
            for level in encoder.quantizer.levels:
                self._put_level(level, tensors)

    def _own(self, array: npt.NDArray[Any]) -> torch.Tensor:
        # A copy: weights may be read-only views of a mapped file, which torch must not alias.
        return torch.tensor(np.ascontiguousarray(array, self.dtype))

    def _put_layer(self, layer: Layer, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        names = layer.tensors
        if names is None:
            return
        bias = tensors[names.bias]
        self._weights[names.weight] = self._own(_matrix(tensors[names.weight], layer))
        transposed = layer.kind == LayerKind.TRANSPOSED_CONV
        self._weights[names.bias] = self._own(np.tile(bias, layer.stride) if transposed else bias)
        match layer.activation:
            case Activation.NONE:
                pass
            case Activation.SNAKE:
                name = _parameters(layer)
                alpha = tensors[name].reshape(-1)
                self._weights[name] = self._own(alpha)
                self._inverses[name] = self._own(1 / (alpha.astype(self.dtype) + self.dtype.type(1e-9)))
            case _:
                raise _unknown_activation(layer)

    def _put_level(self, level: Level, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        for name in (level.codebook, level.in_bias, level.out_bias):
            self._weights[name] = self._own(tensors[name])
        for name in (level.in_weight, level.out_weight):  # kernel 1: a matrix
            self._weights[name] = self._own(tensors[name][:, :, 0])
        self._units[level.codebook] = F.normalize(self._weights[level.codebook])

    @property
    def threads(self) -> int:
        return self._threads.count

    def __repr__(self) -> str:
        return self.description

    @property
    def description(self) -> str:
        return f"torch {torch.__version__}, {self.dtype}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    # ------------------------------------------------------------------ state

    @on_own_threads
    def new_states(self, slots: int, direction: Direction) -> TorchStates:
        layers = plan(self.config, direction)
        histories = [torch.zeros(slots, rows, channels, dtype=self._torch_dtype) for rows, channels in layers.histories]
        return TorchStates(layers, slots, histories, HopCounts(slots))

    @on_own_threads
    def hop_counts(self, states: TorchStates, slots: Ints) -> Ints:
        states.write()
        return states.counts.values[np.asarray(slots, np.int64)]

    @on_own_threads
    def reset(self, states: TorchStates, slots: Ints) -> None:
        states.reset(np.asarray(slots, np.int64))

    @on_own_threads
    def export_state(self, states: TorchStates, slot: int) -> list[Floats]:
        return states.read(slot)

    @on_own_threads
    def import_state(self, states: TorchStates, slot: int, histories: Sequence[Floats], clock: int = 0) -> None:
        check_histories(states.plan, histories, self.dtype)
        states.replace(slot, histories, clock)

    # ------------------------------------------------------------------ steps

    @on_own_threads
    def encode_step(
        self,
        pcm: Floats,
        states: TorchStates,
        slots: Ints,
        clock: Ints,
        length: Ints,
        levels: int,
        latents: bool = False,
    ) -> tuple[Codes, Floats | None]:
        step = check_step(states, pcm, slots, clock, length, levels, latents)
        with torch.inference_mode():
            states.write()
            kept: tuple[Codes, Floats | None] | None = states.counts.outputs_of(step, slots)
            if kept is not None:
                return kept
            x = torch.from_numpy(np.array(pcm, self.dtype)).unsqueeze(2)
            z, fresh = self._run(x, states, slots, clock, length)
            codes, inner = self._quantize(z, states.plan.quantizer, levels, latents)
            outputs = codes.numpy(), None if inner is None else inner.numpy()
            states.unwritten = Result(step, fresh, outputs)
            states.write()
            return outputs

    @on_own_threads
    def decode_step(self, codes: Codes, states: TorchStates, slots: Ints, clock: Ints, length: Ints) -> Floats:
        step = check_step(states, codes, slots, clock, length, codes.shape[1])
        with torch.inference_mode():
            states.write()
            kept: Floats | None = states.counts.outputs_of(step, slots)
            if kept is not None:
                return kept
            z = self._embed(torch.from_numpy(np.array(codes, np.int64)), states.plan.quantizer)
            pcm, fresh = self._run(z, states, slots, clock, length)
            out: Floats = torch.tanh(pcm)[:, :, 0].numpy()
            states.unwritten = Result(step, fresh, out)
            states.write()
            return out

    def _run(
        self, x: torch.Tensor, states: TorchStates, slots: Ints, clock: Ints, length: Ints
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The last layer's values, and the histories to keep."""
        plan = states.plan
        where = torch.as_tensor(np.asarray(slots, np.int64))
        per_row = [[int(n), *plan.lengths(int(n))] for n in length]
        edges = clock, [list(column) for column in zip(*per_row, strict=True)]
        x = self._mask(x, edges, 0, plan.unit_in, 0)
        held, histories, fresh = x, iter(states.histories), []
        for number, layer in enumerate(plan.layers, 1):
            if layer.kind == LayerKind.HOLD:
                held = x
                continue
            new = held if layer.kind == LayerKind.JOIN else self._activate(x, layer)
            if layer.history:
                new = torch.cat([next(histories)[where], new], dim=1)
                fresh.append(new[:, new.shape[1] - layer.history :].clone())
            if layer.kind == LayerKind.JOIN:
                x = x + new[:, : x.shape[1]]
                continue
            x = self._convolve(new, layer)
            if not plan.causal:  # else zero histories are the padding, and nothing kept sees what is past the end
                x = self._mask(x, edges, number, layer.rate_out, layer.delay_out)
        return x, fresh

    def _activate(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        match layer.activation:
            case Activation.NONE:
                return x
            case Activation.SNAKE:  # Ziyin et al. 2020: x + sin²(αx)/(α + 1e-9)
                alpha = _parameters(layer)
                sine = torch.sin(x * self._weights[alpha])
                return torch.addcmul(x, sine * self._inverses[alpha], sine)
            case _:
                raise _unknown_activation(layer)

    def _convolve(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """x ``[B, history + n, C]`` → ``[B, n', C_out]``: the windows of all outputs times the weights."""
        rows, length, channels = x.shape
        # A transposed convolution's window is the kept input and its successor, for s outputs at once.
        transposed = layer.kind == LayerKind.TRANSPOSED_CONV
        kernel, stride, dilation = (2, 1, 1) if transposed else (layer.kernel, layer.stride, layer.dilation)
        count = (length - (kernel - 1) * dilation - 1) // stride + 1
        strides = (length * channels, stride * channels, dilation * channels, 1)
        windows = x.contiguous().as_strided((rows, count, kernel, channels), strides)
        flat = windows.reshape(rows * count, kernel * channels)
        assert layer.tensors is not None  # as every convolution's are
        y = torch.addmm(self._weights[layer.tensors.bias], flat, self._weights[layer.tensors.weight])
        return y.view(rows, -1, layer.cout)

    def _mask(self, x: torch.Tensor, edges: _Edges, number: int, rate: int, delay: int) -> torch.Tensor:
        """Zero, in place, the values whose true time ``clock · rate + j − delay`` lies outside ``[0, length of the
        layer)``."""
        clock, lengths = edges
        for row, length in enumerate(lengths[number]):
            first = int(clock[row]) * rate - delay
            if first < 0:
                x[row, : min(-first, x.shape[1])] = 0
            if 0 <= length < first + x.shape[1]:
                x[row, max(0, length - first) :] = 0
        return x

    # -------------------------------------------------------------- quantiser

    def _quantize(
        self, z: torch.Tensor, quantizer: Quantizer, levels: int, latents: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """z ``[B, k, D]`` → codes ``[B, levels, k]``, and latents if asked for.

        The nearest entry is that of greatest cosine. The official package takes the least Euclidean distance of unit
        vectors, which is the same: ``|e − c|² = 2 − 2 e·c``. argmax gives the lowest index on ties.
        """
        rows, frames, _ = z.shape
        residual = z.reshape(rows * frames, -1)
        codes, inner = [], []
        for i, level in enumerate(quantizer.levels[:levels], 1):
            e = F.linear(residual, self._weights[level.in_weight], self._weights[level.in_bias])
            index = torch.argmax(F.normalize(e) @ self._units[level.codebook].T, dim=1)
            if i < levels:
                residual = residual - self._project(level, index)
            codes.append(index.view(rows, frames))
            if latents:
                inner.append(e.view(rows, frames, -1).transpose(1, 2))
        return torch.stack(codes, dim=1), torch.cat(inner, dim=1).contiguous() if latents else None

    def _project(self, level: Level, index: torch.Tensor) -> torch.Tensor:
        entry = self._weights[level.codebook][index]
        return F.linear(entry, self._weights[level.out_weight], self._weights[level.out_bias])

    def _embed(self, codes: torch.Tensor, quantizer: Quantizer) -> torch.Tensor:
        """codes ``[B, K, k]`` → z ``[B, k, D]``, level by level in order; a missing level (−1) adds nothing."""
        rows, levels, frames = codes.shape
        z = torch.zeros(rows * frames, quantizer.latent_channels, dtype=self._torch_dtype)
        for i, level in enumerate(quantizer.levels[:levels]):
            index = codes[:, i].reshape(-1)
            entry = self._project(level, index.clamp(min=0))
            z = z + entry.masked_fill((index < 0)[:, None], 0)
        return z.view(rows, frames, -1)


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
        "add it to _put_layer and _activate in streamrvq/engine/torch.py"
    )


def _matrix(weight: npt.NDArray[Any], layer: Layer) -> npt.NDArray[Any]:
    """A folded weight as the right factor of `TorchEngine._convolve`, rows in the order of a window: tap, then
    channel."""
    if layer.kind == LayerKind.CONV:  # [C_out, C, kernel]
        return weight.transpose(2, 1, 0).reshape(-1, layer.cout)
    # [C, C_out, 2s]: output r of input τ is x[τ − 1]·w[r + s] + x[τ]·w[r], and the window is (x[τ − 1], x[τ]).
    taps = weight.reshape(layer.cin, layer.cout, 2, layer.stride).transpose(2, 0, 3, 1)  # [2, C, s, C_out]
    return taps[::-1].reshape(2 * layer.cin, layer.stride * layer.cout)
