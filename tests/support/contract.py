"""What the tests of the core share: the engines under contract, small codecs, and how to cut a signal.

Knows: the public API, the plain reference, and for single layers one adapter an engine. Does not know: what is
asserted. A new engine joins every contract test by its name in `ENGINES` and an adapter in `LAYER_RUNNERS`. The cuda
engine computes on the CPU here (tests/support/cuda/emulated.py), in this process and its forks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from unittest import mock

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.config import CodecConfig
from streamrvq.engine.cuda.layout import Shape
from streamrvq.engine.cuda.resident import Resident
from streamrvq.engine.cuda.runner import Runner
from streamrvq.engine.native import Core, NativeStates, Program, chosen_isa
from streamrvq.engine.native.library import load_library
from streamrvq.errors import EngineError
from streamrvq.families import plan as plan_of
from streamrvq.geometry import Direction, Plan, PlanBuilder, Quantizer
from streamrvq.streaming.lockstep import Lockstep
from streamrvq.weights import Weights, seeded
from tests.support.cuda.emulated import EmulatedDevice, emulated_device, missing

try:
    import torch

    from streamrvq.engine.torch import TorchEngine
    from tests.reference.plain_dac import PlainDAC
except ImportError:  # tests/support/environments/without_torch.py runs a slice of the suite like that
    torch = PlainDAC = None


def _native_is_there() -> bool:
    try:
        load_library()
    except EngineError:
        return False
    return True


#: The engines that are built here, and what each computes in. STREAMRVQ_REQUIRE_NATIVE makes a missing one an error.
NATIVE = _native_is_there()
if os.environ.get("STREAMRVQ_REQUIRE_NATIVE") and not NATIVE:
    load_library()
TORCH = torch is not None
BUILT = ["torch"] * TORCH + ["native"] * NATIVE  #: those of any process
CUDA = not missing()
ENGINES = ["torch"] * TORCH + ["cuda"] * CUDA + ["native"] * NATIVE
ENGINE_DTYPES = [("torch", "float64")] * TORCH + [(engine, "float32") for engine in ENGINES]
#: In what an engine gives the same codes however audio is cut.
EXACT = {"torch": "float64", "native": "float32", "cuda": "float32"}
if CUDA:  # for good: a codec that is unpickled opens its device, too. One device, which is tested once.
    mock.patch("streamrvq.engine.cuda.open_device", lambda name: emulated_device()).start()
#: What computes where a test takes any exact engine.
EXACT_ONE = "torch" if TORCH else "native"
#: The same at the least cost, as dtype and engine of `codec_of`: a small step of torch costs ten of the native one's.
QUICK = ("float32", "native") if NATIVE else ("float64", "torch")
needs_native = pytest.mark.skipif(not NATIVE, reason="the native engine was not built")
needs_torch = pytest.mark.skipif(not TORCH, reason="torch is not installed")
#: Largest difference of float64 latents and samples from another order of the same sums.
CLOSE = 1e-11
#: Of bare layers.
NO_QUANTIZER = Quantizer(levels=(), codebook_size=0, codebook_dim=0, latent_channels=0)


def tiny(rates: Sequence[int] = (2, 4, 8, 8), *, causal: bool = False, **others: Any) -> CodecConfig:
    """A small codec with the strides of the 44.1 kHz model: width 8, latent 32, 9 × 1024 × 8."""
    values: dict[str, Any] = {"encoder_dim": 8, "decoder_dim": 2 ** max(5, len(rates)), "latent_dim": 32} | others
    return CodecConfig(encoder_rates=tuple(rates), decoder_rates=tuple(rates)[::-1], causal=causal, **values)


def minute(rates: Sequence[int] = (2, 4), *, causal: bool = False, **others: Any) -> CodecConfig:
    """A codec whose steps cost next to nothing, for tests that need many of them."""
    small: dict[str, Any] = {
        "encoder_dim": 2,
        "decoder_dim": 2 ** max(2, len(rates)),
        "latent_dim": 6,
        "n_codebooks": 3,
    }
    return tiny(rates, causal=causal, **(small | {"codebook_size": 64, "codebook_dim": 3} | others))


def builder(config: CodecConfig, channels: int, rate: int) -> PlanBuilder:
    """For a plan of a few layers that pad as ``config`` does."""
    return PlanBuilder(channels, rate, causal=config.causal, output_padding=config.output_padding)


@lru_cache(maxsize=64)
def weights_of(config: CodecConfig, seed: int = 0) -> Weights:
    """Spread random weights."""
    return seeded(config, seed)


@lru_cache(maxsize=64)
def codec_of(config: CodecConfig, dtype: str = EXACT[EXACT_ONE], engine: str = EXACT_ONE, seed: int = 0) -> Codec:
    """A codec of `weights_of`; shared, for it cannot change."""
    return Codec(weights_of(config, seed), engine=engine, dtype=dtype)


@lru_cache(maxsize=64)
def plain_of(config: CodecConfig, seed: int = 0) -> PlainDAC:
    """The float64 reference with the same weights."""
    return PlainDAC(weights_of(config, seed).tensors, config, torch.float64)


def noise(samples: int, seed: int = 0, scale: float = 0.3) -> np.ndarray[Any, Any]:
    """float32 pink-ish noise: all frequencies, no two hops alike."""
    white = np.random.default_rng(seed).standard_normal(samples + 8)
    return (scale * np.convolve(white, np.ones(9) / 3, "valid")).astype(np.float32)


def cut(signal: np.ndarray[Any, Any], sizes: Iterable[int]) -> Iterator[np.ndarray[Any, Any]]:
    """``signal`` in pieces along its last axis: of ``sizes`` as long as they last, then the rest."""
    start, end = 0, signal.shape[-1]
    for size in sizes:
        if start >= end:
            return
        yield signal[..., start : start + size]
        start += size
    if start < end:
        yield signal[..., start:]


def streamed(stream: Any, signal: np.ndarray[Any, Any], sizes: Iterable[int]) -> np.ndarray[Any, Any]:
    """All that a stream gives for the pieces of ``signal`` and its flush."""
    parts = [stream.push(piece) for piece in cut(signal, sizes)]
    return np.concatenate([*parts, stream.flush()], axis=-1)


def streamed_both(codec: Codec, pcm: np.ndarray[Any, Any], sizes: Iterable[int], tail: Any) -> tuple[Any, Any]:
    """The codes ``[K, T]`` and the latents ``[K · dim, T]`` of one stream (which itself gives codes only)."""
    run = Lockstep(codec.engine, "encode", 1, codec.n_codebooks, tail, latents=True)
    parts = [run.push(piece[None]) for piece in cut(pcm, sizes)]
    codes, latents = zip(*parts, run.finish(), strict=True)
    return np.concatenate(codes, axis=-1)[0], np.concatenate(latents, axis=-1)[0]


def streamed_latents(codec: Codec, pcm: np.ndarray[Any, Any], sizes: Iterable[int], tail: Any) -> np.ndarray[Any, Any]:
    """The latents alone."""
    latents: np.ndarray[Any, Any] = streamed_both(codec, pcm, sizes, tail)[1]
    return latents


def log_uniform(rng: np.random.Generator, low: int, high: int) -> Iterator[int]:
    """Endless whole sizes ``low … high``, as many around 10 as around 1000."""
    while True:
        yield round(math.exp(rng.uniform(math.log(low), math.log(high))))


class TorchLayers:
    """Any Plan on the torch engine, one stream: single layers, to which the engine contract has no door."""

    def __init__(self, config: CodecConfig, plan: Plan, tensors: Mapping[str, Any], dtype: str) -> None:
        every = dict(weights_of(config).tensors) | dict(tensors)

        def planned(config: CodecConfig, direction: Direction) -> Plan:
            return plan if direction == "encode" else plan_of(config, direction)

        with mock.patch("streamrvq.engine.torch.plan", planned):
            self._engine = TorchEngine(config, every, threads=None, dtype=dtype)
            self._states = self._engine.new_states(1, "encode")

    def step(self, x: np.ndarray[Any, Any], clock: int, length: int) -> np.ndarray[Any, Any]:
        """``[C, k · unit_in]`` → ``[C', k · unit_out]``."""
        rows = torch.from_numpy(np.array(x.T[None], self._engine.dtype))
        one = np.zeros(1, np.int64)
        with torch.inference_mode():
            y, fresh = self._engine._run(rows, self._states, one, one + clock, one + length)
            self._states.values[one] = fresh
        return y[0].numpy().T


class NativeLayers:
    """Any Plan on the native engine, one stream; weights in half precision wherever that is exact."""

    def __init__(
        self, config: CodecConfig, plan: Plan, tensors: Mapping[str, Any], dtype: str, *, isa: str | None = None,
        threads: int = 2,
    ) -> None:  # fmt: skip
        assert dtype == "float32"
        self._core = Core(isa or chosen_isa(), threads)
        self._core.set_plan(Program.LAYERS, plan, tensors, half_from=0)
        self._states = NativeStates(plan, 1, np.zeros((1, plan.state_size), np.float32))
        self._plan = plan

    def step(self, x: np.ndarray[Any, Any], clock: int, length: int) -> np.ndarray[Any, Any]:
        """``[C, k · unit_in]`` → ``[C', k · unit_out]``."""
        hops = x.shape[1] // self._plan.unit_in
        given = np.ascontiguousarray(x.T, np.float32)
        out = np.empty((hops * self._plan.unit_out, self._plan.layers[-1].cout), np.float32)
        one, states = np.zeros(1, np.int64), self._states.address
        self._core.step(Program.LAYERS, hops, states, one, one + clock, one + length, given=given, out=out)
        return out.T


class CudaLayers:
    """Any Plan on the emulated device, one stream."""

    def __init__(self, config: CodecConfig, plan: Plan, tensors: Mapping[str, Any], dtype: str, **device: Any) -> None:
        assert dtype == "float32"
        self.runner = Runner(EmulatedDevice(**device))
        self._layers = Resident(self.runner.device, "layers", plan, tensors)
        self._states = self.runner.new_states(plan, 1)

    def step(self, x: np.ndarray[Any, Any], clock: int, length: int) -> np.ndarray[Any, Any]:
        """``[C, k · unit_in]`` → ``[C', k · unit_out]``."""
        plan = self._layers.plan
        hops, one = x.shape[1] // plan.unit_in, np.zeros(1, np.int64)
        out = np.empty((1, hops * plan.unit_out * plan.layers[-1].cout), np.float32)
        self.runner.begin()
        program = self.runner.program(self._layers, Shape(1, hops))
        program.inputs[...] = x.T.reshape(1, -1)
        self.runner.step(program, self._states, one, one + clock, one + length, (out, None))
        self.runner.end()
        return out.reshape(hops * plan.unit_out, -1).T


LAYER_RUNNERS = {"torch": TorchLayers, "native": NativeLayers, "cuda": CudaLayers}
