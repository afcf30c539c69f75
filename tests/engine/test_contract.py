"""One contract for every layer × mode × engine × dtype: a stream of any partition equals the plain reference, first
and last value included.

Knows: random stacks of layers, driven by the geometry's own integers, against padded convolutions; and whole small
codecs through the public API. A new engine joins by its name in contract.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from streamrvq.config import CodecConfig
from streamrvq.families import dac
from streamrvq.geometry import Plan
from streamrvq.streaming.hop_buffer import HopBuffer
from streamrvq.streaming.timeline import Timeline
from tests.reference.plain_dac import PlainDAC
from tests.support.contract import (
    CLOSE,
    ENGINE_DTYPES,
    ENGINES,
    EXACT,
    LAYER_RUNNERS,
    NO_QUANTIZER,
    builder,
    codec_of,
    minute,
    noise,
    plain_of,
    streamed,
    streamed_latents,
    weights_of,
)

CHANNELS = 3
Spec = tuple[str, int, int]  # kind, kernel or stride, dilation
SPECS = st.one_of(
    st.tuples(st.just("conv"), st.sampled_from([1, 3, 7]), st.sampled_from([1, 3, 9])),
    st.tuples(st.just("down"), st.integers(1, 8), st.just(1)),
    st.tuples(st.just("up"), st.integers(1, 8), st.just(1)),
    st.tuples(st.just("unit"), st.just(7), st.sampled_from([1, 3, 9])),
)
STACKS = st.lists(SPECS, min_size=1, max_size=4)
SIZES = st.lists(st.integers(0, 90), max_size=12)


def base(causal: bool, output_padding: bool = False) -> CodecConfig:
    return minute(causal=causal, output_padding=output_padding)


def build(config: CodecConfig, specs: list[Spec]) -> Plan:
    """The specs as a plan, with the delays and histories that the geometry gives them."""
    rate = int(np.prod([size for kind, size, _ in specs if kind == "down"], initial=1))
    made = builder(config, CHANNELS, rate)
    for i, (kind, size, dilation) in enumerate(specs):
        if kind == "conv":
            dac.conv(made, f"l{i}", CHANNELS, size, dilation=dilation, snake=f"s{i}")
        elif kind == "down":
            dac.conv(made, f"l{i}", CHANNELS, 2 * size, stride=size, snake=f"s{i}")
        elif kind == "up":
            dac.transposed_conv(made, f"l{i}", CHANNELS, size, snake=f"s{i}")
        else:
            dac.residual_unit(made, f"l{i}", dilation)
    return made.plan("encode", NO_QUANTIZER)


def random_tensors(plan: Plan, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for layer in plan.layers:
        names = layer.tensors
        if names is None:
            continue
        if names.activation is not None:
            tensors[names.activation] = rng.uniform(0.5, 1.5, (1, layer.cin, 1)).astype(np.float32)
        weight = rng.standard_normal((layer.cout, layer.cin, layer.kernel)) / np.sqrt(layer.cin * layer.kernel)
        tensors[names.weight] = weight.astype(np.float32)
        tensors[names.bias] = rng.uniform(0.2, 0.5, layer.cout).astype(np.float32)  # an edge off by one shows
    return tensors


def whole(config: CodecConfig, specs: list[Spec], tensors: dict[str, Any], x: Any) -> Any:
    """The reference: each layer on the whole signal, padded."""
    plain = PlainDAC(tensors, config, torch.float64)
    y = torch.as_tensor(x, dtype=torch.float64)[None]
    for i, (kind, size, dilation) in enumerate(specs):
        if kind == "conv":
            y = plain.conv(plain.snake(y, f"s{i}"), f"l{i}", dilation=dilation)
        elif kind == "down":
            y = plain.conv(plain.snake(y, f"s{i}"), f"l{i}", stride=size)
        elif kind == "up":
            y = plain.upsample(plain.snake(y, f"s{i}"), f"l{i}", size)
        else:
            y = plain.residual(y, f"l{i}", dilation)
    return y[0].numpy()


def in_hops(runner: Any, plan: Plan, x: Any, sizes: list[int], most: int) -> Any:
    """The stack as a stream: ``sizes`` inputs a push, at most ``most`` hops a step."""
    timeline = Timeline(plan, "valid")
    buffer = HopBuffer(timeline, np.zeros((CHANNELS, 0)))
    given: list[Any] = []

    def drain() -> None:
        while hops := min(timeline.ready, most):
            y = runner.step(buffer.peek(hops), timeline.clock, timeline.length)
            given.append(y[:, timeline.own(hops)])
            timeline.clock += hops

    start = 0
    for size in [*sizes, x.shape[1]]:
        block = x[:, start : start + size]
        buffer.append(block)
        start += size
        drain()
    timeline.close()
    drain()
    return np.concatenate([np.zeros((CHANNELS, 0)), *given], axis=1)


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
@settings(max_examples=60)
@given(
    specs=STACKS, sizes=SIZES, length=st.integers(1, 400), most=st.integers(1, 5), output_padding=st.booleans(),
    seed=st.integers(0, 99),
)  # fmt: skip
@example(specs=[("down", 1, 1)], sizes=[1, 1], length=5, most=1, output_padding=False, seed=0)
@example(specs=[("up", 1, 1)], sizes=[1, 1], length=5, most=1, output_padding=False, seed=0)
@example(specs=[("conv", 7, 9), ("down", 5, 1)], sizes=[4], length=6, most=1, output_padding=False, seed=0)
@example(specs=[("up", 7, 1), ("unit", 7, 9)], sizes=[], length=1, most=1, output_padding=True, seed=0)
def test_any_stack_of_layers_streams_exactly(
    causal: bool, engine: str, dtype: str, specs: list[Spec], sizes: list[int], length: int, most: int,
    output_padding: bool, seed: int,
) -> None:  # fmt: skip
    assume(not (output_padding and ("up", 1, 1) in specs))  # torch has no output padding as large as the stride
    config = base(causal, output_padding)
    plan = build(config, specs)
    tensors = random_tensors(plan, seed)
    x = np.random.default_rng(seed).standard_normal((CHANNELS, length)).astype(np.float32)
    wanted = whole(config, specs, tensors, x)
    assert plan.outputs(length) == wanted.shape[1]
    came = in_hops(LAYER_RUNNERS[engine](config, plan, tensors, dtype), plan, x, sizes, most)
    assert came.shape == wanted.shape
    np.testing.assert_allclose(came, wanted, rtol=0, atol=CLOSE if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("causal_weights", [False, True])
def test_the_contract_notices_a_wrong_delay(causal_weights: bool) -> None:
    """The test above can fail: a delay one sample too long is seen at once."""
    config, specs = base(causal_weights), [("conv", 7, 3), ("down", 4, 1)]
    plan = build(config, specs)
    tensors = random_tensors(plan, 1)
    x = np.random.default_rng(1).standard_normal((CHANNELS, 64)).astype(np.float32)
    right = in_hops(LAYER_RUNNERS["torch"](config, plan, tensors, "float64"), plan, x, [5, 9], 2)
    np.testing.assert_allclose(right, whole(config, specs, tensors, x), rtol=0, atol=CLOSE)
    late = dataclasses.replace(plan.layers[-1], delay_out=plan.delay + 1)
    broken = dataclasses.replace(plan, layers=(plan.layers[0], late))
    wrong = in_hops(LAYER_RUNNERS["torch"](config, broken, tensors, "float64"), broken, x, [5, 9], 2)
    assert wrong.shape == right.shape
    assert np.abs(wrong - right).max() > 1e-3


RATES = [(2, 4), (3, 5), (2, 3, 2), (1, 4), (7,)]


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
@pytest.mark.parametrize("rates", RATES, ids=str)
@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(0, 70), max_size=15), length=st.integers(1, 600), tail=st.sampled_from(["pad", "valid"])
)
def test_any_partition_encodes_as_the_reference(
    causal: bool, engine: str, dtype: str, rates: tuple[int, ...], sizes: list[int], length: int, tail: str
) -> None:
    config = minute(rates, causal=causal)
    codec, pcm = codec_of(config, dtype, engine), noise(length, seed=length)
    plain = plain_of(config).encode(pcm, pad=tail == "pad")
    codes = streamed(codec.stream(tail=tail), pcm, sizes)
    latents = streamed_latents(codec, pcm, sizes, tail)
    offline, offline_latents = codec.encode(pcm, tail=tail, return_latents=True)
    assert codes.shape == offline.shape == plain.codes.shape[1:]
    if dtype == "float64":
        np.testing.assert_array_equal(codes, plain.codes[0].numpy())
        np.testing.assert_array_equal(offline, plain.codes[0].numpy())
        np.testing.assert_allclose(latents, plain.latents[0].numpy(), rtol=0, atol=CLOSE)
        np.testing.assert_allclose(offline_latents, plain.latents[0].numpy(), rtol=0, atol=CLOSE)
    else:  # which code is nearest may flip; the first level's latents may not move
        dim = config.codebook_dim
        np.testing.assert_allclose(latents[:dim], plain.latents[0, :dim].numpy(), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
@pytest.mark.parametrize(
    ("rates", "output_padding"),
    [*((r, False) for r in RATES), ((3, 5), True), ((2, 3, 2), True), ((7,), True)],
    ids=str,
)
@settings(max_examples=15)
@given(sizes=st.lists(st.integers(0, 9), max_size=15), frames=st.integers(1, 60), levels=st.integers(1, 3))
def test_any_partition_decodes_as_the_reference(
    causal: bool, engine: str, dtype: str, rates: tuple[int, ...], output_padding: bool, sizes: list[int], frames: int,
    levels: int,
) -> None:  # fmt: skip
    config = minute(rates, causal=causal, output_padding=output_padding)
    codec = codec_of(config, dtype, engine)
    codes = np.random.default_rng(frames).integers(0, config.codebook_size, (levels, frames))
    wanted = plain_of(config).decode(codes)[0].numpy()
    atol = CLOSE if dtype == "float64" else 1e-4
    for pcm in (codec.decode(codes), streamed(codec.decoder_stream(), codes, sizes)):
        assert pcm.shape == wanted.shape
        assert pcm.dtype == codec.dtype
        np.testing.assert_allclose(pcm, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("tail", ["pad", "valid"])
def test_the_lengths_around_a_hop_and_below_the_delay(causal: bool, engine: str, tail: str) -> None:
    config = minute((2, 4, 5), causal=causal)
    codec, hop = codec_of(config, EXACT[engine], engine), config.hop_length
    below = max(1, codec.delay_frames) * hop
    for length in (1, 2, hop - 1, hop, hop + 1, below - 1, below, below + 1, below + hop):
        pcm = noise(length, seed=length)
        wanted = plain_of(config).encode(pcm, pad=tail == "pad").codes[0].numpy()
        for sizes in ([], [1] * length, [hop] * (length // hop), [hop - 1, 2]):
            np.testing.assert_array_equal(streamed(codec.stream(tail=tail), pcm, sizes), wanted)


def test_weights_are_the_same_for_all_engines_under_contract() -> None:
    config = minute()
    hashes = {codec_of(config, EXACT[engine], engine).codec_hash for engine in ENGINES}
    assert hashes == {weights_of(config).codec_hash}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_lies_past_the_length_does_not_matter(causal: bool, engine: str) -> None:
    """The engine itself ends a signal at its length, whatever fills the rest of its last hops."""
    codec = codec_of(minute(causal=causal), EXACT[engine], engine)
    inner, row = codec.engine, np.zeros(1, np.int64)
    for direction, length in (("encode", 29), ("decode", 4)):
        plan = inner.new_states(1, direction).plan
        total = plan.outputs(length)
        hops = max(-(-(total + plan.delay) // plan.unit_out), -(-length // plan.unit_in))
        results = []
        for filling in (0, 5):
            if direction == "encode":
                pcm = np.full((1, hops * 8), filling, np.float32)
                pcm[0, :length] = noise(length)
                _, out = inner.encode_step(pcm, inner.new_states(1, direction), row, row, row + length, 3, True)
            else:
                codes = np.full((1, 3, hops), filling or -1)
                codes[0, :, :length] = np.arange(length)
                out = inner.decode_step(codes, inner.new_states(1, direction), row, row, row + length)
            results.append(np.asarray(out)[..., plan.delay : plan.delay + total])
        np.testing.assert_array_equal(*results)
