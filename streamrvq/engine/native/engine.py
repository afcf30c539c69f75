"""The native engine: the contract of base.py on our own C++, the same bits however audio is cut.

Knows: how a `Plan` and its tensors are handed to the library, and that a stream's state is one row of floats, its
histories end to end. Does not know: the arithmetic, tiles, instruction sets and threads; the C++ does.

Every output value is one chain of fused multiply-adds in a fixed order, so that codes, latents and samples do not
depend on chunking, batch, neighbours, threads or instruction set. No torch on this path.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Mapping, Sequence
from ctypes import addressof, byref, c_char, c_double
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...config import CodecConfig
from ...errors import EngineError
from ...families import plan
from ...geometry import Direction, Plan, Quantizer
from ..base import Codes, Floats, Ints, check_histories, check_step
from .library import LAYER_FIELDS, LEVEL_FIELDS, LayerSpec, LevelSpec, isas, last_error, load_library

Tensors = Mapping[str, npt.NDArray[np.float32]]

LAYERS, ENCODE, DECODE = 0, 1, 2  #: what `Core.step` runs: bare layers, or a direction with its quantiser
#: Weights of this many numbers and more are kept in half precision where that is exact and a hop has few rows for them.
HALF_FROM = 1 << 16


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1


def chosen_isa() -> str:
    """``STREAMRVQ_ISA``, or the best instruction set there is. Raises `EngineError` for one that is not to be had."""
    wanted, there = os.environ.get("STREAMRVQ_ISA", ""), isas()
    if wanted and wanted not in there:
        raise EngineError(f"STREAMRVQ_ISA is {wanted!r}; this build and machine have {', '.join(there)}")
    return wanted or there[0]


def _address(array: npt.NDArray[Any] | None) -> int | None:
    if array is None:
        return None
    buffer: Any = array  # which it is, but numpy's types say so only from Python 3.12 on
    try:  # a quarter of what the interface below takes, several times a step
        return addressof(c_char.from_buffer(buffer))
    except (TypeError, ValueError):  # read-only, or empty
        address: int = array.__array_interface__["data"][0]
        return address


class Core:
    """A library engine: packed weights and threads.

    Arrays given to `step` must be C-contiguous and of its types.
    """

    def __init__(self, isa: str, threads: int) -> None:
        self._lib = load_library()
        self.isa, self.threads = isa, threads
        self._handle = self._lib.srvq_engine_new(isa.encode(), threads)
        if not self._handle:
            raise EngineError(f"the native engine cannot start: {last_error()}")
        # Not at exit: a thread may still be in a step then, and the process takes all with it anyway.
        weakref.finalize(self, self._lib.srvq_engine_free, self._handle).atexit = False

    def set_layers(self, what: int, plan: Plan, tensors: Tensors, *, half_from: int = HALF_FROM) -> None:
        """Pack the weights of a plan's layers. Unless it is causal, every layer zeroes values outside the signal."""
        specs = (LayerSpec * len(plan.layers))()
        keep: list[npt.NDArray[np.float32]] = []  # until the library has packed them

        def at(name: str) -> int:
            keep.append(np.ascontiguousarray(tensors[name], np.float32))
            return keep[-1].ctypes.data

        for spec, layer in zip(specs, plan.layers, strict=True):
            spec.kind = layer.kind
            for name in LAYER_FIELDS:
                setattr(spec, name, getattr(layer, name))
            if layer.tensors is not None:
                spec.weight, spec.bias = at(layer.tensors.weight), at(layer.tensors.bias)
                if layer.tensors.activation is not None:
                    spec.alpha = at(layer.tensors.activation)
        self.check(self._lib.srvq_set_layers(self._handle, what, specs, len(specs), not plan.causal, half_from))

    def set_quantizer(self, quantizer: Quantizer, tensors: Tensors) -> None:
        """Pack the quantiser's weights."""
        specs = (LevelSpec * len(quantizer.levels))()
        keep = []
        for spec, level in zip(specs, quantizer.levels, strict=True):
            for name in LEVEL_FIELDS:
                keep.append(np.ascontiguousarray(tensors[getattr(level, name)], np.float32))
                setattr(spec, name, keep[-1].ctypes.data)
        self.check(self._lib.srvq_set_quantizer(
            self._handle, specs, len(specs), quantizer.codebook_size, quantizer.codebook_dim,
            quantizer.latent_channels,
        ))  # fmt: skip

    def step(
        self, what: int, hops: int, states: NativeStates, slots: Ints, clock: Ints, length: Ints, *,
        given: Floats | None = None, out: Floats | None = None, levels: int = 0, codes: Codes | None = None,
        latents: Floats | None = None,
    ) -> None:  # fmt: skip
        """One step; see ``srvq_step`` in api/api.hpp."""
        slots, clock, length = (np.ascontiguousarray(values, np.int64) for values in (slots, clock, length))
        self.check(self._lib.srvq_step(
            self._handle, what, len(slots), hops, states.address, _address(slots), _address(clock),
            _address(length), _address(given), _address(out), levels, _address(codes), _address(latents),
        ))  # fmt: skip

    def check(self, status: int) -> None:
        if status:
            raise EngineError(f"the native engine refused: {last_error()}")

    def profile(self, what: int, phases: int) -> tuple[int, list[float]]:
        """Steps and each phase's seconds since the last call: input, convolutions in order, the end."""
        seconds = (c_double * phases)()
        return self._lib.srvq_profile(self._handle, what, seconds, phases), list(seconds)

    def weight_bytes(self, what: int, convolution: int) -> int:
        """Of one convolution's packed weights."""
        size: int = self._lib.srvq_weight_bytes(self._handle, what, convolution)
        return size

    def trim(self) -> None:
        """Give freed memory back to the system: weights were read, packed and let go, and the C library keeps it."""
        self._lib.srvq_trim()

    def least_part(self, rows: int, hops: int) -> int:
        """Rows · hops of the smallest part that a step runs in; small steps run in one."""
        least: int = self._lib.srvq_least_part(rows, hops)
        return least

    def machine(self, seconds: float = 1.5) -> tuple[float, float, float]:
        """What this machine can do on these threads, a second: 10⁹ float32 operations, those of numbers that are loaded
        from a core's first cache, and 10⁹ bytes read."""
        gflops, fed, gbytes = c_double(), c_double(), c_double()
        self.check(self._lib.srvq_machine(self._handle, seconds, byref(gflops), byref(fed), byref(gbytes)))
        return gflops.value, fed.value, gbytes.value


@dataclasses.dataclass(frozen=True)
class NativeStates:
    """Each slot's histories end to end, in the order of `Plan.histories`.

    ``data`` is float32 ``[slots, state_size]``, written in place.
    """

    plan: Plan
    slots: int
    data: Floats

    @cached_property
    def address(self) -> int | None:
        """Where ``data`` lies, for every step."""
        return _address(self.data)


class NativeEngine:
    """The engine on our own C++; see `base.Engine`. float32.

    Bit-identical whatever the chunk size, batch, threads and instruction set.

    Args:
        config: the codec.
        tensors: folded weights under the names that the plans give; they are packed, and not kept.
        threads: cores to compute on; None: all that the process may use.

    Raises:
        EngineError: the library is not there, or ``STREAMRVQ_ISA`` names what this machine lacks.
    """

    name = "native"
    dtype = np.dtype(np.float32)

    def __init__(self, config: CodecConfig, tensors: Tensors, *, threads: int | None) -> None:
        self.config = config
        self._core = Core(chosen_isa(), threads or available_cores())
        encoder, decoder = plan(config, "encode"), plan(config, "decode")
        self._core.set_quantizer(encoder.quantizer, tensors)
        self._core.set_layers(ENCODE, encoder, tensors)
        self._core.set_layers(DECODE, decoder, tensors)

    @property
    def threads(self) -> int:
        return self._core.threads

    @property
    def core(self) -> Core:
        """What computes, for measuring."""
        return self._core

    @property
    def description(self) -> str:
        return f"native {self._core.isa}, float32, {self.threads} thread{'s' if self.threads > 1 else ''}"

    # ------------------------------------------------------------------ state

    def new_states(self, slots: int, direction: Direction) -> NativeStates:
        layers = plan(self.config, direction)
        return NativeStates(layers, slots, np.zeros((slots, layers.state_size), np.float32))

    def reset(self, states: NativeStates, slots: Ints) -> None:
        states.data[np.asarray(slots, np.int64)] = 0

    def export_state(self, states: NativeStates, slot: int) -> list[Floats]:
        ends = np.cumsum([rows * channels for rows, channels in states.plan.histories])
        parts = np.split(states.data[slot], ends[:-1]) if len(ends) else []
        return [part.reshape(shape).copy() for part, shape in zip(parts, states.plan.histories, strict=True)]

    def import_state(self, states: NativeStates, slot: int, histories: Sequence[Floats]) -> None:
        check_histories(states.plan, histories, self.dtype)
        if histories:
            states.data[slot] = np.concatenate([np.ravel(history) for history in histories])

    # ------------------------------------------------------------------ steps

    def encode_step(
        self, pcm: Floats, states: NativeStates, slots: Ints, clock: Ints, length: Ints, levels: int,
        latents: bool = False,
    ) -> tuple[Codes, Floats | None]:  # fmt: skip
        hops, rows = check_step(states, pcm, slots, clock, length), pcm.shape[0]
        given = np.ascontiguousarray(pcm, np.float32)
        codes = np.empty((rows, levels, hops), np.int64)
        inner = np.empty((rows, levels * states.plan.quantizer.codebook_dim, hops), np.float32) if latents else None
        self._core.step(ENCODE, hops, states, slots, clock, length, given=given, levels=levels, codes=codes,
                        latents=inner)  # fmt: skip
        return codes, inner

    def decode_step(self, codes: Codes, states: NativeStates, slots: Ints, clock: Ints, length: Ints) -> Floats:
        hops, (rows, levels, _) = check_step(states, codes, slots, clock, length), codes.shape
        given = np.ascontiguousarray(codes, np.int64)
        pcm = np.empty((rows, hops * states.plan.unit_out), np.float32)
        self._core.step(DECODE, hops, states, slots, clock, length, out=pcm, levels=levels, codes=given)
        return pcm
