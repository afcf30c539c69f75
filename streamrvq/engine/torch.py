"""The torch engine: the contract of base.py on torch's matrix products, float32 or float64, on any CPU that torch
runs on.

Knows: how to run a `Plan` one step further. Activations are time-major, ``[B, T, C]``, so that the window of an
output lies in memory as it is multiplied, and a convolution is one product ``[B·n, kernel·C] × [kernel·C, C_out]``:
torch's own ``conv1d`` takes a slow path channel by channel for signals as short as one hop. Does
not know: padding at the ends as such; it zeroes what lies outside the signal
(`_mask`), which is what the offline network's zero padding amounts to at every layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..config import CodecConfig
from ..geometry import Direction, Layer, Plan, decoder_plan, encoder_plan, plan
from .base import Codes, Floats, Ints, check_step, check_tails

_Edges = tuple[Ints, list[list[int]]]  # clock [B]; lengths [layers + 1][B], −1 where open


@dataclasses.dataclass
class TorchStates:
    """One ``[slots, rows, C]`` tensor for each of `Plan.tails`."""

    plan: Plan
    slots: int
    tails: list[torch.Tensor]


class TorchEngine:
    """See `base.Engine`. float64 gives the same codes however audio is cut; float32 the same but for near-ties.

    Args:
        config: the codec.
        tensors: folded weights under DAC's names.
        threads: passed to ``torch.set_num_threads``, which holds for the whole process; None leaves torch's setting.
        dtype: ``"float32"`` or ``"float64"``.
    """

    name = "torch"

    def __init__(
        self, config: CodecConfig, tensors: Mapping[str, npt.NDArray[np.float32]], *, threads: int | None, dtype: str
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.config = config
        self.dtype = np.dtype(dtype)
        self._torch_dtype = torch.float64 if dtype == "float64" else torch.float32
        self._weights: dict[str, torch.Tensor] = {}

        def put(name: str, array: npt.NDArray[Any]) -> None:
            # A copy: weights may be read-only views of a mapped file, which torch must not alias.
            self._weights[name] = torch.tensor(np.ascontiguousarray(array, self.dtype))

        for layer in (*encoder_plan(config).layers, *decoder_plan(config).layers):
            if layer.weights:
                weight, bias = tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"]
                put(f"{layer.name}.matrix", _matrix(weight, layer))
                put(f"{layer.name}.bias", np.tile(bias, layer.stride) if layer.kind == "tconv" else bias)
            if layer.snake:
                # Snake (Ziyin et al. 2020, as in dac.nn.layers): x + sin²(αx)/(α + 1e-9)
                alpha = tensors[f"{layer.snake}.alpha"].reshape(-1)
                put(f"{layer.snake}.alpha", alpha)
                put(f"{layer.snake}.inverse", 1 / (alpha.astype(self.dtype) + self.dtype.type(1e-9)))
        for i in range(config.n_codebooks):
            q = f"quantizer.quantizers.{i}"
            put(f"{q}.codebook", tensors[f"{q}.codebook.weight"])
            self._weights[f"{q}.unit"] = F.normalize(self._weights[f"{q}.codebook"])
            for side in ("in_proj", "out_proj"):  # kernel 1: a matrix
                put(f"{q}.{side}.weight", tensors[f"{q}.{side}.weight"][:, :, 0])
                put(f"{q}.{side}.bias", tensors[f"{q}.{side}.bias"])

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    @property
    def description(self) -> str:
        return f"torch {torch.__version__}, {self.dtype}, {self.threads} threads"

    # ------------------------------------------------------------------ state

    def new_states(self, slots: int, direction: Direction) -> TorchStates:
        layers = plan(self.config, direction)
        tails = [torch.zeros(slots, rows, channels, dtype=self._torch_dtype) for rows, channels in layers.tails]
        return TorchStates(layers, slots, tails)

    def reset(self, states: TorchStates, slots: Ints) -> None:
        where = torch.as_tensor(np.asarray(slots, np.int64))
        for tail in states.tails:
            tail[where] = 0

    def export_state(self, states: TorchStates, slot: int) -> list[Floats]:
        return [tail[slot].numpy().copy() for tail in states.tails]

    def import_state(self, states: TorchStates, slot: int, tails: Sequence[Floats]) -> None:
        check_tails(states.plan, tails, self.dtype)
        for mine, given in zip(states.tails, tails, strict=True):
            mine[slot] = torch.tensor(given)

    # ------------------------------------------------------------------ steps

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
        check_step(states, pcm, slots, clock, length)
        with torch.inference_mode():
            x = torch.from_numpy(np.array(pcm, self.dtype)).unsqueeze(2)
            z, fresh = self._run(encoder_plan(self.config), x, states, slots, clock, length)
            codes, inner = self._quantize(z, levels, latents)
            self._keep(states, slots, fresh)
            return codes.numpy(), None if inner is None else inner.numpy()

    def decode_step(self, codes: Codes, states: TorchStates, slots: Ints, clock: Ints, length: Ints) -> Floats:
        check_step(states, codes, slots, clock, length)
        with torch.inference_mode():
            z = self._embed(torch.from_numpy(np.array(codes, np.int64)))
            pcm, fresh = self._run(decoder_plan(self.config), z, states, slots, clock, length)
            out: Floats = torch.tanh(pcm)[:, :, 0].numpy()
            self._keep(states, slots, fresh)
            return out

    def _run(
        self, layers: Plan, x: torch.Tensor, states: TorchStates, slots: Ints, clock: Ints, length: Ints
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The last layer's values, and the tails to keep: `_keep` comes when nothing can raise any more."""
        # In a new thread torch takes no notice of set_num_threads until somebody there asks for the number; till then
        # OpenMP spins on every core, which beside a busy process makes a small step many times as long.
        torch.get_num_threads()
        where = torch.as_tensor(np.asarray(slots, np.int64))
        per_row = [[int(n), *layers.lengths(int(n))] for n in length]
        edges = clock, [list(column) for column in zip(*per_row, strict=True)]
        x = self._mask(x, edges, 0, layers.unit_in, 0)
        held, tails, fresh = x, iter(states.tails), []
        for number, layer in enumerate(layers.layers, 1):
            if layer.kind == "hold":
                held = x
                continue
            new = held if layer.kind == "join" else self._snake(x, layer)
            if layer.tail:
                new = torch.cat([next(tails)[where], new], dim=1)
                fresh.append(new[:, new.shape[1] - layer.tail :].clone())
            if layer.kind == "join":
                x = x + new[:, : x.shape[1]]
            else:
                x = self._mask(self._convolve(new, layer), edges, number, layer.rate_out, layer.delay_out)
        return x, fresh

    def _keep(self, states: TorchStates, slots: Ints, fresh: list[torch.Tensor]) -> None:
        where = torch.as_tensor(np.asarray(slots, np.int64))
        for tail, value in zip(states.tails, fresh, strict=True):
            tail[where] = value

    def _snake(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        if layer.snake is None:
            return x
        sine = torch.sin(x * self._weights[f"{layer.snake}.alpha"])
        return torch.addcmul(x, sine * self._weights[f"{layer.snake}.inverse"], sine)

    def _convolve(self, x: torch.Tensor, layer: Layer) -> torch.Tensor:
        """x ``[B, tail + n, C]`` → ``[B, n', C_out]``: the windows of all outputs times the weights."""
        rows, length, channels = x.shape
        # A transposed convolution's window is the kept input and its successor, for s outputs at once.
        kernel, stride, dilation = (2, 1, 1) if layer.kind == "tconv" else (layer.kernel, layer.stride, layer.dilation)
        count = (length - (kernel - 1) * dilation - 1) // stride + 1
        strides = (length * channels, stride * channels, dilation * channels, 1)
        windows = x.contiguous().as_strided((rows, count, kernel, channels), strides)
        flat = windows.reshape(rows * count, kernel * channels)
        y = torch.addmm(self._weights[f"{layer.name}.bias"], flat, self._weights[f"{layer.name}.matrix"])
        return y.view(rows, -1, layer.cout)

    def _mask(self, x: torch.Tensor, edges: _Edges, number: int, rate: int, delay: int) -> torch.Tensor:
        """Zero, in place, the values whose true time ``clock · rate + j − delay`` lies outside ``[0, length of the
        layer)``."""
        if self.config.causal and number:
            return x  # Zero tails are the padding, and what lies past the end reaches nothing that is kept.
        clock, lengths = edges
        for row, length in enumerate(lengths[number]):
            first = int(clock[row]) * rate - delay
            if first < 0:
                x[row, : min(-first, x.shape[1])] = 0
            if 0 <= length < first + x.shape[1]:
                x[row, max(0, length - first) :] = 0
        return x

    # -------------------------------------------------------------- quantiser

    def _quantize(self, z: torch.Tensor, levels: int, latents: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """z ``[B, k, D]`` → codes ``[B, levels, k]``. The nearest entry by cosine, as dac.nn.quantize finds it by the
        Euclidean distance of unit vectors: ``|e − c|² = 2 − 2 e·c``. argmax gives the lowest index on ties."""
        rows, frames, _ = z.shape
        residual = z.reshape(rows * frames, -1)
        codes, inner = [], []
        for i in range(levels):
            q = f"quantizer.quantizers.{i}"
            e = F.linear(residual, self._weights[f"{q}.in_proj.weight"], self._weights[f"{q}.in_proj.bias"])
            index = torch.argmax(F.normalize(e) @ self._weights[f"{q}.unit"].T, dim=1)
            if i + 1 < levels:
                residual = residual - self._project(q, index)
            codes.append(index.view(rows, frames))
            if latents:
                inner.append(e.view(rows, frames, -1).transpose(1, 2))
        return torch.stack(codes, dim=1), torch.cat(inner, dim=1).contiguous() if latents else None

    def _project(self, q: str, index: torch.Tensor) -> torch.Tensor:
        entry = self._weights[f"{q}.codebook"][index]
        return F.linear(entry, self._weights[f"{q}.out_proj.weight"], self._weights[f"{q}.out_proj.bias"])

    def _embed(self, codes: torch.Tensor) -> torch.Tensor:
        """codes ``[B, K, k]`` → z ``[B, k, D]``, level by level in order; a missing level (−1) adds nothing."""
        rows, levels, frames = codes.shape
        z = torch.zeros(rows * frames, self.config.latent_channels, dtype=self._torch_dtype)
        for i in range(levels):
            index = codes[:, i].reshape(-1)
            entry = self._project(f"quantizer.quantizers.{i}", index.clamp(min=0))
            z = z + entry.masked_fill((index < 0)[:, None], 0)
        return z.view(rows, frames, -1)


def _matrix(weight: npt.NDArray[Any], layer: Layer) -> npt.NDArray[Any]:
    """A folded weight as the right factor of `TorchEngine._convolve`, rows in the order of a window: tap, then
    channel."""
    if layer.kind == "conv":  # [C_out, C, kernel]
        return weight.transpose(2, 1, 0).reshape(-1, layer.cout)
    # [C, C_out, 2s]: output r of input τ is x[τ − 1]·w[r + s] + x[τ]·w[r], and the window is (x[τ − 1], x[τ]).
    taps = weight.reshape(layer.cin, layer.cout, 2, layer.stride).transpose(2, 0, 3, 1)  # [2, C, s, C_out]
    return taps[::-1].reshape(2 * layer.cin, layer.stride * layer.cout)
