"""The torch engine: the contract of base.py on torch, float32 or float64, on any CPU that torch runs on.

Knows: how to run a `Plan` one step further: which layer follows which, and what each keeps. Does not know: what a layer
computes (torch_layers.py), what it reads at the ends of a signal (torch_edges.py), quantisers (torch_quantizer.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from ..config import Config
from ..errors import EngineError
from ..families import plan
from ..geometry import Direction, Layer, LayerKind
from ..system.copying import NeverCopied, Shared
from .base import Codes, Floats, Ints, check_histories, check_step
from .counts import HopCounts
from .torch_edges import Edges
from .torch_layers import TorchLayers
from .torch_quantizer import TorchQuantizer
from .torch_states import Result, TorchStates
from .torch_threads import StepThreads, on_own_threads


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
        self, config: Config, tensors: Mapping[str, npt.NDArray[np.float32]], *, threads: int | None, dtype: str
    ) -> None:
        self.config, self._threads = config, StepThreads(threads)
        self.dtype = np.dtype(dtype)
        self._torch_dtype = torch.float64 if dtype == "float64" else torch.float32
        encoder, decoder = plan(config, "encode"), plan(config, "decode")
        with self._threads.used():
            self._layers = TorchLayers((*encoder.layers, *decoder.layers), tensors, self.dtype)
            self._quantizer = TorchQuantizer(encoder.quantizer, tensors, self.dtype)

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
        values = torch.zeros(slots, layers.state_size, dtype=self._torch_dtype)
        return TorchStates(layers, slots, values, HopCounts(slots))

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
            codes, inner = self._quantizer.quantize(z, levels, latents)
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
            z = self._quantizer.embed(torch.from_numpy(np.array(codes, np.int64)))
            pcm, fresh = self._run(z, states, slots, clock, length)
            out: Floats = (torch.tanh(pcm) if states.plan.tanh else pcm)[:, :, 0].numpy()
            states.unwritten = Result(step, fresh, out)
            states.write()
            return out

    def _run(
        self, x: torch.Tensor, states: TorchStates, slots: Ints, clock: Ints, length: Ints
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The last layer's values, and the histories to keep, ``[B, Plan.state_size]``."""
        plan, layers = states.plan, self._layers
        where = torch.as_tensor(np.asarray(slots, np.int64))
        edges = Edges(plan, clock, length)
        x = edges.mask(x, 0, plan.unit_in, 0)
        before = states.values[where]
        held, histories, fresh = x, iter(states.views(before)), [before[:, :0]]
        for number, layer in enumerate(plan.layers):
            past = next(histories) if layer.history else x[:, :0]
            match layer.kind:
                case LayerKind.HOLD:
                    held = x
                    continue
                case LayerKind.NORM:
                    x = layers.norm(x, layer)
                    continue
                case LayerKind.LSTM:
                    x, kept = layers.recur(past, x, layer)
                case LayerKind.ATTENTION:
                    x, kept = layers.attend(past, x, edges.positions(layer), layer)
                case LayerKind.JOIN:
                    waiting = _behind(past, held, layer)
                    kept, x = waiting, layers.join(waiting[:, : x.shape[1]], x, layer)
                case _:
                    new = layers.activate(x, layer)
                    if layer.history:
                        edges.fill_start(past, new, number, layer)
                    new = _behind(past, new, layer)
                    if plan.causal and layer.fills_up:
                        edges.fill_end(new, number, layer)
                    kept, x = new, layers.convolve(new, layer)
                    if not plan.causal:  # else padding is in the histories, and nothing kept sees what is past the end
                        x = edges.mask(x, number + 1, layer.rate_out, layer.delay_out)
            if layer.history:
                fresh.append(kept[:, -layer.history :].reshape(len(where), -1))
        return x, torch.cat(fresh, dim=1)


def _behind(past: torch.Tensor, new: torch.Tensor, layer: Layer) -> torch.Tensor:
    return torch.cat([past, new], dim=1) if layer.history else new
