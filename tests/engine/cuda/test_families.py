"""The CUDA engine has the native engine's bits of EnCodec's and Mimi's layers: whole codecs, layers, tiles.

Knows: both engines, driven side by side; the kernels run on the CPU. Does not know: the originals, GPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.config import Config
from streamrvq.engine.cuda import CudaEngine
from streamrvq.engine.cuda.tiles import Tile, tiles
from streamrvq.engine.native import NativeEngine
from streamrvq.errors import EngineError
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.geometry import Activation, Direction, Padding, PlanBuilder, Tensors
from streamrvq.weights import Weights, seeded
from tests.engine.test_causal_layers import CHANNELS, RATE, STACKS, made, run
from tests.support.contract import CUDA, NATIVE, NO_QUANTIZER, CudaLayers, NativeLayers, minute
from tests.support.cuda.emulated import EmulatedDevice
from tests.support.cuda.sides import Side, inputs, tile_taken
from tests.support.cuda.streams import same_streams
from tests.support.native import same_bits

pytestmark = pytest.mark.skipif(not (CUDA and NATIVE), reason="needs the emulator and the native engine")

SIZES: dict[str, Any] = {"num_filters": 2, "n_codebooks": 3}
CONFIGS: st.SearchStrategy[Config] = st.one_of(
    st.builds(
        lambda hidden, **others: EncodecConfig(hidden_size=hidden, codebook_dim=hidden, **SIZES, **others),
        st.sampled_from([5, 8, 36]),
        codebook_size=st.sampled_from([2, 64, 300]),
        upsampling_ratios=st.sampled_from([(2,), (3, 2), (1, 4)]),
        pad_mode=st.sampled_from(["reflect", "reflect", "replicate", "constant"]),
        num_lstm_layers=st.integers(0, 2),
        use_conv_shortcut=st.booleans(),
    ),
    st.builds(
        lambda heads, **others: MimiConfig(
            hidden_size=12, num_attention_heads=heads, upsample_groups=12, num_hidden_layers=1,
            upsampling_ratios=(2, 3), intermediate_size=20, **SIZES, **others,
        ),
        st.sampled_from([1, 3]),
        head_dim=st.sampled_from([2, 8]),
        codebook_dim=st.sampled_from([4, 12]),
        codebook_size=st.sampled_from([2, 300]),
        sliding_window=st.sampled_from([1, 4, 9]),
        latent_stride=st.sampled_from([1, 2]),
        num_semantic_quantizers=st.integers(1, 2),
    ),
)  # fmt: skip


@lru_cache(maxsize=64)
def weights_of(config: Config) -> Weights:
    return seeded(config)


@lru_cache(maxsize=4)
def device_of(early: bool, downward: bool) -> EmulatedDevice:
    return EmulatedDevice(early=early, downward=downward)


@settings(max_examples=30)
@given(CONFIGS, st.sampled_from(["encode", "decode"]), st.integers(0, 999), st.booleans(), st.booleans())
def test_rows_of_any_age_and_end(config: Any, direction: Direction, seed: int, early: bool, downward: bool) -> None:
    """Steps of any rows and hops; streams begin, end and begin anew; half of them change engines in mid-stream."""
    tensors = weights_of(config).tensors
    engines = CudaEngine(config, tensors, device_of(early, downward)), NativeEngine(config, tensors, threads=1)
    same_streams(config, direction, engines, seed)


MANY: dict[str, Config] = {
    "encodec": EncodecConfig(hidden_size=6, codebook_dim=6, upsampling_ratios=(2,), codebook_size=300, **SIZES),
    "mimi": MimiConfig(
        hidden_size=12, num_attention_heads=2, head_dim=6, upsample_groups=12, num_hidden_layers=1,
        upsampling_ratios=(2,), intermediate_size=8, codebook_dim=4, sliding_window=5, **SIZES,
    ),
}  # fmt: skip


@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize("name", MANY)
def test_many_rows(name: str, direction: Direction) -> None:
    """Blocks of eight streams or frames, where the last has some to spare."""
    config, device = MANY[name], EmulatedDevice()
    tensors, rows = weights_of(config).tensors, list(range(11))
    engines = CudaEngine(config, tensors, device), NativeEngine(config, tensors, threads=1)
    device.launched.clear()  # of the self-test
    sides = [Side(engine, direction, 11) for engine in engines]
    data = inputs(config, direction, 11, 7, np.random.default_rng(1))
    results = [[*side.step(data, rows, [0] * 11, [-1] * 11), *side.exported()] for side in sides]
    for came, wanted in zip(*results, strict=True):
        same_bits(came, wanted)
    assert ("lstm_8" in device.launched) == (name == "encodec")
    assert ("nearest_8" in device.launched) == (direction == "encode")


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("pad", Padding)
def test_layers_have_the_native_engines_bits(stack: Callable[[PlanBuilder], None], pad: Padding) -> None:
    plan, tensors = made(stack, pad)
    x = np.random.default_rng(1).standard_normal((CHANNELS, 40 * RATE)).astype(np.float32)
    for length in (40 * RATE - 1, 1, 2, 5, 3 * RATE):
        hops = -(-length // RATE)
        wanted = run(NativeLayers(minute(), plan, tensors, "float32", threads=1), plan, x, [hops], length)
        first = min(plan.first, hops)
        for cut in ([hops], [first, *[1] * (hops - first)]):
            came = run(CudaLayers(minute(), plan, tensors, "float32"), plan, x, cut, length)
            same_bits(came, wanted, f"{length} {cut}")


def scaled(build: PlanBuilder, width: int) -> None:
    """Every activation, with and without a residual that is scaled, or goes through a convolution."""

    def names(name: str) -> Tensors:
        return Tensors(f"{name}.w", f"{name}.b")

    build.hold("u")
    build.conv("a", names("a"), width, 3, dilation=2, activation=Activation.ELU)
    build.conv("b", Tensors("b.w"), width, 1, activation=Activation.GELU)
    build.join("u", scale="u.s")
    build.conv("c", names("c"), width, 2 * RATE, stride=RATE, activation=Activation.ELU)
    build.hold("v")
    build.conv("d", names("d"), width, 1, activation=Activation.GELU)
    build.join("v", names("v"))
    build.conv("e", names("e"), width + 3, 3, activation=Activation.ELU)


@pytest.mark.parametrize("tile", [tile for tile in tiles() if tile.more] if CUDA else [], ids=lambda tile: tile.name)
def test_every_tile_with_more_computes_every_kind_of_layer(tile: Tile) -> None:
    with tile_taken(tile) as used:
        for width in (3, 8, 64):
            build = PlanBuilder(width, RATE, causal=True, pad=Padding.REFLECT, fill_up=True)
            scaled(build, width)
            plan, rng = build.plan("encode", NO_QUANTIZER), np.random.default_rng(width)
            tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in plan.shapes.items()}
            x = rng.standard_normal((width, 21 * RATE)).astype(np.float32)
            length = 20 * RATE + 1
            came = CudaLayers(minute(), plan, tensors, "float32").step(x, 0, length)
            same_bits(came, NativeLayers(minute(), plan, tensors, "float32").step(x, 0, length), f"{width}")
    assert used == {tile.name, tile.kernel_more}


def test_what_no_block_has_room_for_is_refused() -> None:
    build = PlanBuilder(12, 1, causal=True)
    build.attention("a", heads=2, window=7000, theta=100.0)
    build.conv("y", Tensors("y.w"), 1, 1)
    plan = build.plan("encode", NO_QUANTIZER)
    layers = CudaLayers(minute(), plan, {"y.w": np.zeros((1, 4, 1), np.float32)}, "float32")
    with pytest.raises(EngineError, match="the attention a sees 7000 positions; the cuda engine has room for about"):
        layers.step(np.zeros((12, 1), np.float32), 0, -1)
