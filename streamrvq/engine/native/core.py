"""A library engine: packed weights and threads, and its calls with numpy arrays.

Knows: how a `Plan` and its tensors are handed to the library, and that arrays travel as addresses. Does not know:
instruction sets by name, states and the engine contract (engine.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from ctypes import addressof, byref, c_char, c_double, c_float, pointer
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import EngineError
from ...geometry import Activation, Distance, LayerKind, Plan, Quantizer
from ...system.copying import NeverCopied, Shared
from ..base import Codes, Floats, Ints
from ..rotary import inverse_frequencies
from .library import (
    LAYER_FIELDS,
    LEVEL_FIELDS,
    ChainSpec,
    LayerSpec,
    LevelSpec,
    PlanSpec,
    QuantizerSpec,
    last_error,
    load_library,
)

Tensors = Mapping[str, npt.NDArray[np.float32]]

#: Weights of this many numbers and more are kept in half precision where that is exact and a hop has few rows for them.
HALF_FROM = 1 << 16


class Program(IntEnum):
    """Which of an engine's plans a call means, as ``srvq::Program``. Bare layers have no quantiser; tests run them."""

    LAYERS = 0
    ENCODE = 1
    DECODE = 2


def address(array: npt.NDArray[Any] | None) -> int | None:
    """Where an array's data lies; None for None."""
    if array is None:
        return None
    buffer: Any = array  # which it is, but numpy's types say so only from Python 3.12 on
    try:  # a quarter of what the interface below takes, several times a step
        return addressof(c_char.from_buffer(buffer))
    except (TypeError, ValueError):  # read-only, or empty
        at: int = array.__array_interface__["data"][0]
        return at


class Core(Shared, NeverCopied, error=EngineError, holds="a process's weights and threads", instead="pickle its codec"):
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

    def set_plan(self, program: Program, plan: Plan, tensors: Tensors, *, half_from: int = HALF_FROM) -> None:
        """Pack a plan's weights. Unless it is causal, every layer zeroes values outside the signal.

        Args:
            program: which of the engine's plans this is; `Program.LAYERS` leaves the quantiser out.
            plan: the layers, the quantiser, and the names of their tensors.
            tensors: folded weights under those names.
            half_from: weights of at least this many numbers may be kept as halves where that is exact; −1: none.

        Raises:
            EngineError: the library refuses the plan, or has not enough memory.
        """
        keep: list[npt.NDArray[np.float32]] = []  # until the library has packed them

        def at(name: str) -> int:
            keep.append(np.ascontiguousarray(tensors[name], np.float32))
            return keep[-1].ctypes.data

        layers = (LayerSpec * len(plan.layers))()
        for spec, layer in zip(layers, plan.layers, strict=True):
            for name in LAYER_FIELDS:
                setattr(spec, name, getattr(layer, name))
            spec.epsilon = layer.epsilon
            if layer.scale is not None:
                spec.scale = at(layer.scale)
            if layer.kind == LayerKind.ATTENTION:
                frequencies = inverse_frequencies(layer.cout // layer.heads, layer.theta)
                spec.frequencies = frequencies.ctypes.data
                keep.append(frequencies)
            if layer.tensors is not None:
                spec.weight = at(layer.tensors.weight)
                if layer.tensors.bias is not None:
                    spec.bias = at(layer.tensors.bias)
                if layer.tensors.activation is not None:
                    spec.alpha = at(layer.tensors.activation)
                if layer.tensors.recurrent is not None:
                    spec.recurrent = at(layer.tensors.recurrent)
        whole = PlanSpec(layers=layers, count=len(layers), masked=not plan.causal, first=plan.first, tanh=plan.tanh,
                         half_from=half_from)  # fmt: skip
        if program != Program.LAYERS:
            whole.quantizer = pointer(_quantizer_spec(plan.quantizer, at))
        self.check(self._lib.srvq_set_plan(self._handle, program, whole))

    def step(
        self, program: Program, hops: int, states: int | None, slots: Ints, clock: Ints, length: Ints, *,
        counts: int | None = None, given: Floats | None = None, out: Floats | None = None, levels: int = 0,
        codes: Codes | None = None, latents: Floats | None = None,
    ) -> None:  # fmt: skip
        """One step; see ``srvq_step`` in api/api.hpp. ``states`` is where slot 0's state lies, ``counts`` where its
        hop count does."""
        slots, clock, length = (np.ascontiguousarray(values, np.int64) for values in (slots, clock, length))
        self.check(self._lib.srvq_step(
            self._handle, program, len(slots), hops, states, counts, address(slots), address(clock),
            address(length), address(given), address(out), levels, address(codes), address(latents),
        ))  # fmt: skip

    def check(self, status: int) -> None:
        """Raise what the library complains of, if a call's status is not 0."""
        if status:
            raise EngineError(f"the native engine refused: {last_error()}")

    def profile(self, program: Program, phases: int) -> tuple[int, list[float]]:
        """Steps and each phase's seconds since the last call: input, convolutions in order, the end."""
        seconds = (c_double * phases)()
        return self._lib.srvq_profile(self._handle, program, seconds, phases), list(seconds)

    def weight_bytes(self, program: Program, convolution: int) -> int:
        """Of one convolution's packed weights."""
        size: int = self._lib.srvq_weight_bytes(self._handle, program, convolution)
        return size

    def trim(self) -> None:
        """Give freed memory back to the system: the C library keeps what weights took until they were packed."""
        self._lib.srvq_trim()

    def least_part(self, streams: int, hops: int) -> int:
        """Streams · hops of the smallest part that a step runs in. A small step runs in one part."""
        least: int = self._lib.srvq_least_part(streams, hops)
        return least

    def tanh(self, x: Floats) -> Floats:
        """The decoder's last function alone, for tests: tanh of float32 ``x``."""
        y = np.empty_like(x)
        self.check(self._lib.srvq_tanh(self._handle, address(x), address(y), x.size))
        return y

    def activate(self, activation: Activation, alpha: float, x: Floats) -> Floats:
        """An activation alone, for tests: of float32 ``x``, with one channel's parameter."""
        y = np.empty_like(x)
        self.check(self._lib.srvq_activate(
            self._handle, activation, byref(c_float(alpha)), address(x), address(y), x.size
        ))  # fmt: skip
        return y

    def machine(self, seconds: float = 1.5) -> tuple[float, float, float]:
        """What this machine can do on these threads, a second: 10⁹ float32 operations; the same, of numbers that are
        loaded from a core's first cache; and 10⁹ bytes read."""
        gflops, load_gflops, gbytes = c_double(), c_double(), c_double()
        self.check(self._lib.srvq_machine(self._handle, seconds, byref(gflops), byref(load_gflops), byref(gbytes)))
        return gflops.value, load_gflops.value, gbytes.value


def _quantizer_spec(quantizer: Quantizer, at: Callable[[str], int]) -> QuantizerSpec:
    levels = (LevelSpec * len(quantizer.levels))()
    for spec, level in zip(levels, quantizer.levels, strict=True):
        for name in LEVEL_FIELDS:
            if getattr(level, name) is not None:
                setattr(spec, name, at(getattr(level, name)))
    chains = (ChainSpec * len(quantizer.chains))()
    for spec, chain in zip(chains, quantizer.chains, strict=True):
        spec.levels = chain.levels
        for name in ("in_weight", "out_weight"):
            if getattr(chain, name) is not None:
                setattr(spec, name, at(getattr(chain, name)))
    sizes = quantizer.codebook_size, quantizer.codebook_dim, quantizer.latent_channels
    by_distance = quantizer.distance == Distance.EUCLIDEAN
    return QuantizerSpec(levels, chains or None, len(chains), len(levels), *sizes, by_distance)
