"""The native engine: the contract of base.py on our own C++, the same bits however audio is cut.

Knows: that a stream's state is one row of floats, its histories end to end. Does not know: how the library is called
(core.py); arithmetic, tiles, instruction sets, threads: the C++ beside it does (README.md).

Every output value is one chain of fused multiply-adds in a fixed order, so that codes, latents and samples do not
depend on chunking, batch, neighbours, threads or instruction set. No torch on this path.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...config import Config
from ...errors import EngineError
from ...families import plan
from ...geometry import Direction, LayerKind, Plan
from ...system.copying import CopiedWhole, NeverCopied, Shared, forked_whole
from ...system.cores import available_cores
from ..base import Codes, Floats, Ints, check_histories, check_step, join_state, split_state
from ..counts import HopCounts
from ..lacking import NATIVE, check_abilities
from .core import Core, Program, Tensors, address
from .library import isas


def chosen_isa() -> str:
    """``STREAMRVQ_ISA``, or the best instruction set there is. Raises `EngineError` for one that this machine lacks."""
    wanted, there = os.environ.get("STREAMRVQ_ISA", ""), isas()
    if wanted and wanted not in there:
        raise EngineError(f"STREAMRVQ_ISA is {wanted!r}; this build and machine have {', '.join(there)}")
    return wanted or there[0]


def keys_turned(plan: Plan, histories: Sequence[Floats], *, inward: bool) -> list[Floats]:
    """A state's histories between their canonical form and the library's. That keeps the keys of an attention with the
    same dimension of all heads side by side."""
    turned = []
    for layer, history in zip((layer for layer in plan.layers if layer.history), histories, strict=True):
        if layer.kind == LayerKind.ATTENTION:
            keys, values = np.split(history, 2, axis=1)
            shape = (len(keys), layer.heads, -1) if inward else (len(keys), layer.cout // layer.heads, layer.heads)
            history = np.hstack([keys.reshape(shape).transpose(0, 2, 1).reshape(keys.shape), values])
        turned.append(history)
    return turned


@forked_whole
@dataclasses.dataclass(frozen=True)
class NativeStates(CopiedWhole):
    """Each slot's histories end to end, in the order of `Plan.histories`, and its hop count.

    ``data`` is float32 ``[slots, state_size]``, written in place. So are the counts, by the same call of the library.
    """

    plan: Plan
    slots: int
    data: Floats
    counts: HopCounts = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", HopCounts(self.slots))

    def __getstate__(self) -> dict[str, Any]:  # of a copy, whose data lies elsewhere
        return {name: value for name, value in self.__dict__.items() if name not in ("address", "counts_address")}

    @cached_property
    def address(self) -> int | None:
        """Where ``data`` lies, for every step."""
        return address(self.data)

    @cached_property
    def counts_address(self) -> int | None:
        """Where the counts lie."""
        return address(self.counts.values)


class NativeEngine(
    Shared, NeverCopied, error=EngineError, holds="a process's weights and threads", instead="pickle its codec"
):
    """The engine on our own C++; see `base.Engine`. float32.

    Bit-identical whatever the chunk size, batch, threads and instruction set.

    Args:
        config: the codec.
        tensors: folded weights under the names that the plans give; they are packed, and not kept.
        threads: cores to compute on; None: all that the process may use.

    Raises:
        EngineError: the engine lacks what the codec needs, the library is not there, or ``STREAMRVQ_ISA`` names what
            this machine lacks.
    """

    name = "native"
    dtype = np.dtype(np.float32)
    #: As many as the library reads its weights once for. 64 channels × 32 hops × 512 samples of float32 are 4 MiB an
    #: activation.
    row_hops = 32

    def __init__(self, config: Config, tensors: Tensors, *, threads: int | None) -> None:
        check_abilities(config, self.name, NATIVE)
        self.config = config
        self._core = Core(chosen_isa(), threads or available_cores())
        self._core.set_plan(Program.ENCODE, plan(config, "encode"), tensors)
        self._core.set_plan(Program.DECODE, plan(config, "decode"), tensors)

    @property
    def threads(self) -> int:
        return self._core.threads

    @property
    def core(self) -> Core:
        """What computes, for measuring."""
        return self._core

    def __repr__(self) -> str:
        return self.description

    @property
    def description(self) -> str:
        return f"native {self._core.isa}, float32, {self.threads} thread{'s' if self.threads > 1 else ''}"

    # ------------------------------------------------------------------ state

    def new_states(self, slots: int, direction: Direction) -> NativeStates:
        layers = plan(self.config, direction)
        return NativeStates(layers, slots, np.zeros((slots, layers.state_size), np.float32))

    def hop_counts(self, states: NativeStates, slots: Ints) -> Ints:
        return states.counts.values[np.asarray(slots, np.int64)]

    def reset(self, states: NativeStates, slots: Ints) -> None:
        where = np.asarray(slots, np.int64)
        states.counts.begin(where)
        states.data[where] = 0
        states.counts.set(where, 0)

    def export_state(self, states: NativeStates, slot: int) -> list[Floats]:
        return keys_turned(states.plan, split_state(states.plan, states.data[slot]), inward=False)

    def import_state(self, states: NativeStates, slot: int, histories: Sequence[Floats], clock: int = 0) -> None:
        check_histories(states.plan, histories, self.dtype)
        states.counts.begin(slot)
        if histories:
            states.data[slot] = join_state(keys_turned(states.plan, histories, inward=True))
        states.counts.set(slot, clock)

    # ------------------------------------------------------------------ steps

    def encode_step(
        self, pcm: Floats, states: NativeStates, slots: Ints, clock: Ints, length: Ints, levels: int,
        latents: bool = False,
    ) -> tuple[Codes, Floats | None]:  # fmt: skip
        step = check_step(states, pcm, slots, clock, length, levels, latents)
        kept: tuple[Codes, Floats | None] | None = states.counts.outputs_of(step, slots)
        if kept is not None:
            return kept
        hops, rows = step.hops, pcm.shape[0]
        given = np.ascontiguousarray(pcm, np.float32)
        codes = np.empty((rows, levels, hops), np.int64)
        inner = np.empty((rows, levels * states.plan.quantizer.codebook_dim, hops), np.float32) if latents else None
        # Kept before the library moves the counts: from then on these arrays hold the outputs, whoever gets them.
        states.counts.last = step, (codes, inner)
        self._core.step(Program.ENCODE, hops, states.address, slots, clock, length, counts=states.counts_address,
                        given=given, levels=levels, codes=codes, latents=inner)  # fmt: skip
        return codes, inner

    def decode_step(self, codes: Codes, states: NativeStates, slots: Ints, clock: Ints, length: Ints) -> Floats:
        rows, levels, _ = codes.shape
        step = check_step(states, codes, slots, clock, length, levels)
        kept: Floats | None = states.counts.outputs_of(step, slots)
        if kept is not None:
            return kept
        given = np.ascontiguousarray(codes, np.int64)
        pcm = np.empty((rows, step.hops * states.plan.unit_out), np.float32)
        states.counts.last = step, pcm  # as in encode_step
        self._core.step(Program.DECODE, step.hops, states.address, slots, clock, length, counts=states.counts_address,
                        out=pcm, levels=levels, codes=given)  # fmt: skip
        return pcm
