"""The CUDA engine's promise: the native engine's bits, in codes, latents, samples and states.

Knows: both engines, driven side by side through the contract; the kernels run on the CPU (tests/support/cuda). Does not
know: GPUs: tools/gpu_check asks one the same.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.config import CodecConfig
from streamrvq.engine.cuda import CudaEngine
from streamrvq.engine.cuda.tiles import Tile, tiles
from streamrvq.engine.native import NativeEngine
from streamrvq.geometry import Activation, Direction
from tests.support.contract import CUDA, NATIVE, CudaLayers, NativeLayers, codec_of, minute, noise, weights_of
from tests.support.cuda.emulated import EmulatedDevice, emulated_device
from tests.support.cuda.sides import Side, inputs, tile_taken
from tests.support.cuda.streams import same_streams
from tests.support.layers import one_layer, tensors_of
from tests.support.native import same_bits

pytestmark = pytest.mark.skipif(not (CUDA and NATIVE), reason="needs the emulator and the native engine")

CONFIGS = st.builds(
    minute,
    st.sampled_from([(2, 4), (3, 5), (2, 3, 2), (7,), (1, 4)]),
    causal=st.booleans(),
    encoder_dim=st.sampled_from([2, 3, 4, 5, 8]),
    decoder_dim=st.sampled_from([8, 16, 24, 64]),
    latent_dim=st.sampled_from([3, 6, 8, 131, 140]),
    codebook_dim=st.sampled_from([1, 3, 8]),
    codebook_size=st.sampled_from([2, 64, 300]),
)


@cache
def device_of(early: bool, downward: bool) -> EmulatedDevice:
    """Copies early or late, threads in either order."""
    return EmulatedDevice(early=early, downward=downward)


@settings(max_examples=20)
@given(CONFIGS, st.sampled_from(["encode", "decode"]), st.integers(0, 999), st.booleans(), st.booleans())
def test_rows_of_any_age_and_end(
    config: CodecConfig, direction: Direction, seed: int, early: bool, downward: bool
) -> None:
    """Steps of any rows and hops; streams begin, end and begin anew; half of them change engines in mid-stream."""
    cuda = CudaEngine(config, weights_of(config).tensors, device_of(early, downward))
    same_streams(config, direction, (cuda, codec_of(config, "float32", "native").engine), seed)


@settings(max_examples=10)
@given(CONFIGS, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 99))
def test_any_hops_and_rows_of_a_step(config: CodecConfig, cuts: list[int], rows: int, seed: int) -> None:
    """Hop by hop and row by row gives what one step gives."""
    engine, hops = codec_of(config, "float32", "cuda").engine, sum(cuts)
    for direction in ("encode", "decode"):
        data = inputs(config, direction, rows, hops, np.random.default_rng(seed))  # type: ignore[arg-type]
        unit = data.shape[-1] // hops
        whole, parts = Side(engine, direction, rows), Side(engine, direction, rows)  # type: ignore[arg-type]
        wanted = whole.step(data, list(range(rows)), [0] * rows, [-1] * rows)[0]
        for row in range(rows):
            ends = np.cumsum(cuts)
            for hop, end in zip(ends - cuts, ends, strict=True):
                came = parts.step(data[[row], ..., hop * unit : end * unit], [row], [hop], [-1])[0]
                each = wanted.shape[-1] // hops
                same_bits(came, wanted[[row], ..., hop * each : end * each])
        for came, kept in zip(whole.exported(), parts.exported(), strict=True):
            same_bits(came, kept)


LAYERS = [("conv", 7, 1), ("conv", 7, 9), ("conv", 1, 1), ("down", 3, 1), ("down", 4, 1), ("up", 5, 1), ("up", 2, 1),
          ("unit", 7, 3)]  # fmt: skip


@pytest.mark.parametrize("tile", tiles() if CUDA else [], ids=lambda tile: tile.name)
def test_every_tile_computes_every_kind_of_layer(tile: Tile, causal: bool) -> None:
    """Widths that it takes whole, and such that fill no tile; where it cannot compute a layer, another does."""

    with tile_taken(tile) as used:
        for (kind, size, dilation), width in itertools.product(LAYERS, (3, 8, 64)):
            stride = size if kind in ("down", "up") else 1
            named = {"down": "conv", "up": "transposed_conv"}.get(kind, kind)
            plan = one_layer(named, 2 * size if stride > 1 else size, stride, dilation, width, causal)
            tensors, config = tensors_of(plan, False), minute(causal=causal)
            x = noise(21 * plan.unit_in * width, seed=width).reshape(width, -1)
            came = CudaLayers(config, plan, tensors, "float32").step(x, 0, 20 * plan.unit_in + 1)
            same_bits(came, NativeLayers(config, plan, tensors, "float32").step(x, 0, 20 * plan.unit_in + 1), kind)
    assert used == {tile.name}


def test_functions_of_many_numbers() -> None:
    """Tanh, ELU and GELU of numbers of every size, and of all kinds that float32 has."""
    native, library = codec_of(minute(), "float32", "native").engine, emulated_device().library
    bits = np.random.default_rng(3).integers(0, 1 << 32, 200_000, np.uint32)
    x = np.concatenate([bits.view(np.float32), noise(100_000), noise(100_000, 1, 20.0)])
    x = x[~np.isnan(x)]
    y = np.empty_like(x)
    library.emulate_tanh(x.ctypes.data, y.ctypes.data, x.size)
    core = native.core  # type: ignore[attr-defined]
    same_bits(y, core.tanh(x))
    for activation in (Activation.ELU, Activation.GELU):
        library.emulate_activation(x.ctypes.data, y.ctypes.data, x.size, activation)
        same_bits(y, core.activate(activation, 0.0, x), activation.name)


@pytest.mark.parametrize("causal_weights", [False, True])
def test_steps_of_many_rows_share_a_program(causal_weights: bool) -> None:
    """A program may have rows that no stream is in: they change nothing, and no stream is lost among them."""
    config = minute((2, 3), causal=causal_weights)
    tensors = weights_of(config).tensors
    cuda, native = CudaEngine(config, tensors, EmulatedDevice()), NativeEngine(config, tensors, threads=1)
    programs = set()
    for rows in (33, 34, 31, 32):
        rng = np.random.default_rng(rows)
        slots, clock, length = rng.permutation(40)[:rows], np.zeros(rows, np.int64), np.full(rows, -1)
        pcm = rng.standard_normal((rows, 2 * config.hop_length)).astype(np.float32)
        results: list[list[Any]] = []
        for engine in (cuda, native):
            before, after = engine.new_states(40, "encode"), engine.new_states(40, "decode")
            codes, latents = engine.encode_step(pcm, before, slots, clock, length, config.n_codebooks, True)
            histories = [history for slot in range(40) for history in engine.export_state(before, slot)]
            results.append([codes, latents, engine.decode_step(codes, after, slots, clock, length), *histories])
        for came, wanted in zip(*results, strict=True):
            same_bits(came, wanted)
        programs.add(len(cuda._runner._programs))
    assert programs == {2, 4, 6}  # of 34 rows, 31 and 32, in two directions
