"""What the geometry declares before anything runs equals what is measured: delays, receptive fields, lengths, state.

Knows: the plain reference, disturbed sample by sample; torch's own layers for lengths; the published numbers of the
    issue.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.config import PRESETS, CodecConfig
from streamrvq.errors import ConfigError
from streamrvq.families import decoder_plan, encoder_plan, plan, tensor_shapes
from streamrvq.geometry import Direction, LayerKind
from streamrvq.streaming.timeline import Timeline
from tests.support.contract import codec_of, minute, noise, plain_of, tiny

DAC = {"44khz": (2, 4, 8, 8), "24khz": (2, 4, 5, 8)}


def changed(before: torch.Tensor, after: torch.Tensor) -> Any:
    """Last-axis positions at which two results differ at all."""
    return np.flatnonzero((before != after).any(dim=1)[0].numpy())


def encoder_sees(config: CodecConfig, frame: int, samples: int) -> tuple[int, int]:
    """First and last sample that ``frame`` depends on, by halving: the frame answers one sample at a time."""
    plain, pcm = plain_of(config), noise(samples, seed=3)
    z = plain.encode(pcm).z

    def answers(sample: int) -> bool:
        moved = pcm.copy()
        moved[sample] += 50
        return frame in changed(z, plain.encode(moved).z)

    hop = config.hop_length
    low, high = encoder_plan(config).receptive_field
    first, last = frame * hop + low, frame * hop + high
    assert first > 0, "the signal must reach beyond the field"
    assert last + 1 < samples, "the signal must reach beyond the field"
    assert answers(first)
    assert answers(last)
    beyond = [*range(first - 4, first), *range(last + 1, last + 5), 0, samples - 1]
    assert [sample for sample in beyond if answers(sample)] == []
    return low, high


def test_the_44khz_encoder_sees_512t_minus_3733_to_512t_plus_4244() -> None:
    config = tiny(DAC["44khz"])
    assert encoder_sees(config, frame=9, samples=512 * 20) == (-3733, 4244)
    assert codec_of(config).delay_frames == 8
    assert codec_of(config).lookahead_samples == encoder_plan(config).lookahead == 4244 - 511


@pytest.mark.parametrize("rates", [(2, 4, 5, 8), (3, 5, 7), (2, 2), (8, 8), (5,)], ids=str)
def test_declared_receptive_fields_are_the_measured_ones(causal: bool, rates: tuple[int, ...]) -> None:
    config = minute(rates, causal=causal)
    low, high = encoder_plan(config).receptive_field
    frame = -low // config.hop_length + 2
    encoder_sees(config, frame, (frame + 2) * config.hop_length + max(high, 0) + 8)
    if causal:
        assert high == config.hop_length - 1
        assert encoder_plan(config).lookahead == 0


@pytest.mark.parametrize("rates", [(2, 4, 8, 8), (2, 4, 5, 8), (3, 5, 7), (2, 3), (1, 4)], ids=str)
def test_frame_t_leaves_with_hop_t_plus_the_declared_delay(causal: bool, rates: tuple[int, ...]) -> None:
    """Fed hop by hop: not a hop later than declared, and, by the field, not earlier than is possible."""
    config = minute(rates, causal=causal)
    codec, stream = codec_of(config), codec_of(config).stream()
    delay, hop = codec.delay_frames, config.hop_length
    for fed in range(1, delay + 6):
        stream.push(noise(hop, seed=fed))
        assert stream.frames_given == max(0, fed - delay)
    _, high = encoder_plan(config).receptive_field
    needed = max(0, math.floor(high / hop))
    # Aligning every layer to whole outputs of its own may cost a hop where strides are odd; DAC's rates cost none.
    assert needed <= delay <= needed + (0 if rates in DAC.values() or causal else 1)
    if rates in DAC.values():
        assert delay == (0 if causal else 8)


@pytest.mark.parametrize(("name", "samples"), [("44khz", 4757), ("24khz", 3141)])
def test_decoder_delays_by_disturbing_a_frame(name: str, samples: int) -> None:
    """A new frame T reaches back to sample T · hop − delay, and no further."""
    config = tiny(DAC[name])
    assert codec_of(config).decoder_delay_samples == decoder_plan(config).delay == samples
    assert decoder_reaches_back(config, frame=samples // config.hop_length + 3) == samples


@pytest.mark.parametrize("rates", [(3, 5, 7), (2, 2), (5,), (7, 2)], ids=str)
@pytest.mark.parametrize("output_padding", [False, True])
def test_decoder_delays_of_other_strides(causal: bool, rates: tuple[int, ...], output_padding: bool) -> None:
    config = minute(rates, causal=causal, output_padding=output_padding)
    declared = decoder_plan(config).delay
    assert decoder_reaches_back(config, frame=declared // config.hop_length + 3) == declared
    assert not causal or declared == 0


def decoder_reaches_back(config: CodecConfig, frame: int) -> int:
    """How many samples before its own a new frame reaches at most. A disturbed one moves the first of them by 1e-14 or
    less, which rounding may swallow, by the processor and by the codes. So it is asked with many codes."""
    return max(_reaches_back(config, frame, seed) for seed in range(24))


def _reaches_back(config: CodecConfig, frame: int, seed: int) -> int:
    plain, rng = plain_of(config), np.random.default_rng(seed)
    codes = rng.integers(0, config.codebook_size, (config.n_codebooks, 2 * frame + 12))
    moved = codes.copy()
    moved[:, frame] = (codes[:, frame] + 7) % config.codebook_size
    touched = changed(plain.decode(codes)[:, None], plain.decode(moved)[:, None])
    low, high = decoder_plan(config).receptive_field
    # The samples of hop u see frames u + low … u + high at most, by the declared field of sample 0.
    assert touched[-1] < (frame - low + 1) * config.hop_length
    assert touched[0] >= (frame - high) * config.hop_length - config.hop_length
    return int(frame * config.hop_length - touched[0])


@pytest.mark.parametrize("output_padding", [False, True])
@pytest.mark.parametrize("rates", [(2, 4, 8, 8), (2, 4, 5, 8), (3, 5, 7), (2, 3, 2), (9,), (1, 2)], ids=str)
def test_lengths_are_those_of_torch(causal: bool, rates: tuple[int, ...], output_padding: bool) -> None:
    if output_padding and 1 in rates:  # torch has no output padding as large as the stride, and so refuse we
        with pytest.raises(ConfigError, match="output_padding is true with decoder_rates"):
            minute(rates, causal=causal, output_padding=True)
        return
    config = minute(rates, causal=causal, output_padding=output_padding)
    plain, hop = plain_of(config), config.hop_length
    some = [] if output_padding else range(1, 3 * hop + 4, max(1, hop // 60))  # the encoder does not know of it
    for samples in [*some, 1, hop - 1, hop, hop + 1, 2 * hop - 1, 5 * hop + 1]:
        if samples > 0:
            frames = plain.encoder(torch.zeros(1, 1, samples, dtype=torch.float64)).shape[-1]
            assert encoder_plan(config).outputs(samples) == frames, samples
    for frames in range(1, 25):
        z = torch.zeros(1, config.latent_channels, frames, dtype=torch.float64)
        assert decoder_plan(config).outputs(frames) == plain.decoder(z).shape[-1], frames


def test_the_seed_walk_through() -> None:
    """44100 samples: 22050, 5512, 689, 86 frames as they are, and 87 padded to whole hops."""
    config = PRESETS["rvq-breakdown"]
    layers, lengths = encoder_plan(config).layers, list(encoder_plan(config).lengths(44100))
    strided = [n for layer, n in zip(layers, lengths, strict=True) if layer.stride > 1]
    assert strided == [22050, 5512, 689, 86]
    assert [layer.cout for layer in layers if layer.stride > 1] == [128, 256, 512, 1024]
    assert lengths[-1] == 86
    assert layers[-1].cout == config.latent_dim == 64
    assert config.n_codebooks == 9
    assert config.n_codebooks * config.codebook_dim == 72
    padded = Timeline(encoder_plan(config), "pad", given=44100)
    padded.close()
    assert padded.length == 44544
    assert padded.total == 87
    small = CodecConfig(encoder_dim=2, decoder_dim=16, latent_dim=64, codebook_size=64)
    pcm = noise(44100)
    for tail, frames in (("valid", 86), ("pad", 87)):
        codes, latents = codec_of(small, "float32").encode(pcm, tail=tail, return_latents=True)
        assert codes.shape == (9, frames)
        assert latents.shape == (72, frames)


@given(lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=5), kind=st.sampled_from(["encode", "decode"]))
def test_a_closed_timeline_has_the_outputs_of_its_present_length(lengths: list[int], kind: Direction) -> None:
    """The count is kept, as it is asked for again and again; a snapshot may bring another length."""
    plan_of = plan(minute(), kind)
    timeline = Timeline(plan_of, "valid")
    for length in (*lengths, lengths[0]):
        timeline.length = length
        assert timeline.total == plan_of.outputs(length)
        assert copy(timeline).total == timeline.total


def test_state_sizes_of_full_width() -> None:
    symmetric, causal = PRESETS["dac-44khz"], CodecConfig(causal=True)
    kib = {
        "symmetric encoder": encoder_plan(symmetric).state_size * 4 / 1024,
        "causal encoder": encoder_plan(causal).state_size * 4 / 1024,
        "symmetric decoder": decoder_plan(symmetric).state_size * 4 / 1024,
    }
    assert {name: round(size) for name, size in kib.items()} == {
        "symmetric encoder": 489, "causal encoder": 327, "symmetric decoder": 696,
    }  # fmt: skip
    # What the symmetric encoder keeps beyond the causal one: skips as late as their branch, and alignment before
    # strides.
    layers = encoder_plan(symmetric).layers
    skips = sum(layer.history * layer.cin for layer in layers if layer.kind == LayerKind.JOIN) * 4 / 1024
    aligned = sum((layer.history - layer.stride) * layer.cin for layer in layers if layer.stride > 1) * 4 / 1024
    assert skips == 146.25
    assert kib["symmetric encoder"] - kib["causal encoder"] == skips + aligned


@pytest.mark.parametrize("preset", ["dac-44khz", "dac-24khz", "dac-16khz"])
def test_presets_have_the_published_size(preset: str) -> None:
    config = PRESETS[preset]
    sizes = {name: math.prod(shape) for name, shape in tensor_shapes(config).items()}
    encoder = sum(size for name, size in sizes.items() if name.startswith("encoder."))
    assert round(encoder / 1e6) in (21, 22)
    assert config.latent_dim == 1024
    gflop = 2 * encoder_plan(config).macs * config.sample_rate / config.hop_length / 1e9
    if preset == "dac-44khz":
        assert 61.2 <= gflop < 61.3
        assert 138 <= 2 * decoder_plan(config).macs * 44100 / 512 / 1e9 < 139


def test_tensor_names_and_shapes_are_dacs() -> None:
    """Spelt out by hand for one block each; tests/weights/test_official.py compares all with the package's own."""
    config = CodecConfig(encoder_dim=4, encoder_rates=(3,), decoder_dim=10, decoder_rates=(3,), latent_dim=6,
                         n_codebooks=1, codebook_size=16, codebook_dim=2)  # fmt: skip
    unit = [".block.0.alpha", ".block.1.weight", ".block.1.bias", ".block.2.alpha", ".block.3.weight", ".block.3.bias"]
    names = {"encoder.block.0.weight", "encoder.block.0.bias"}
    names |= {f"encoder.block.1.block.{j}{part}" for j in range(3) for part in unit}
    names |= {f"encoder.block.1.block.{part}" for part in ("3.alpha", "4.weight", "4.bias")}
    names |= {f"encoder.block.{part}" for part in ("2.alpha", "3.weight", "3.bias")}
    names |= {"decoder.model.0.weight", "decoder.model.0.bias"}
    names |= {f"decoder.model.1.block.{part}" for part in ("0.alpha", "1.weight", "1.bias")}
    names |= {f"decoder.model.1.block.{j}{part}" for j in range(2, 5) for part in unit}
    names |= {f"decoder.model.{part}" for part in ("2.alpha", "3.weight", "3.bias")}
    quantizer = ("in_proj.weight", "in_proj.bias", "codebook.weight", "out_proj.weight", "out_proj.bias")
    names |= {f"quantizer.quantizers.0.{part}" for part in quantizer}
    shapes = tensor_shapes(config)
    assert set(shapes) == names
    assert shapes["encoder.block.1.block.4.weight"] == (8, 4, 6)
    assert shapes["decoder.model.1.block.1.weight"] == (10, 5, 6)  # transposed: in, out
    assert shapes["decoder.model.0.weight"] == (10, 6, 7)
    assert shapes["decoder.model.3.weight"] == (1, 5, 7)
    assert shapes["encoder.block.2.alpha"] == (1, 8, 1)
    assert shapes["encoder.block.3.weight"] == (6, 8, 3)
    assert shapes["quantizer.quantizers.0.codebook.weight"] == (16, 2)


@given(
    rates=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    causal_weights=st.booleans(),
    output_padding=st.booleans(),
    inputs=st.integers(0, 5000),
    direction=st.sampled_from(["encode", "decode"]),
    tail=st.sampled_from(["pad", "valid"]),
)
def test_nothing_given_out_while_open_lies_past_the_end(
    rates: list[int], causal_weights: bool, output_padding: bool, inputs: int, direction: Any, tail: Any
) -> None:
    """An open stream gives what real inputs alone have reached; closed then, its length agrees; then it ends exactly
    there."""
    config = minute(tuple(rates), causal=causal_weights, output_padding=output_padding and 1 not in rates)
    timeline = Timeline(plan(config, direction), tail)
    timeline.given = inputs
    given_open = 0
    while hops := min(3, timeline.ready):
        own = timeline.own(hops)
        timeline.clock += hops
        given_open += own.stop - own.start
    assert timeline.emitted == given_open
    assert timeline.clock == inputs // timeline.plan.unit_in
    timeline.close()
    assert given_open <= timeline.total
    while hops := min(2, timeline.ready):
        own = timeline.own(hops)
        timeline.clock += hops
        given_open += own.stop - own.start
    assert given_open == timeline.emitted == timeline.total
    assert timeline.ready <= 0
