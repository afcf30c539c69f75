"""Codecs with a strided stem: streams, the offline network and the geometry agree as they do for DAC's own layers, and
a codec without one is what it was before there were stems.

Knows: `CodecConfig.stem`. Does not know: training, for whose sake it exists.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.config import PRESETS, CodecConfig
from streamrvq.errors import ConfigError, WeightsError
from streamrvq.families import decoder_plan, encoder_plan, tensor_shapes
from streamrvq.nn import CodecModel
from streamrvq.weights import load_weights, save_weights, seeded
from tests.support.contract import CLOSE, ENGINE_DTYPES, codec_of, minute, noise, plain_of, streamed, streamed_latents

STEMS = [(2, (2, 4)), (8, (4, 2)), (3, (2,)), (5, (3, 1))]


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
@pytest.mark.parametrize(("stem", "rates"), STEMS, ids=str)
@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(0, 70), max_size=15), length=st.integers(1, 600), tail=st.sampled_from(["pad", "valid"])
)
def test_any_partition_encodes_as_the_reference(
    causal: bool, engine: str, dtype: str, stem: int, rates: tuple[int, ...], sizes: list[int], length: int, tail: str
) -> None:
    config = minute(rates, causal=causal, stem=stem)
    codec, pcm = codec_of(config, dtype, engine), noise(length, seed=length)
    plain = plain_of(config).encode(pcm, pad=tail == "pad")
    codes = streamed(codec.stream(tail=tail), pcm, sizes)
    latents = streamed_latents(codec, pcm, sizes, tail)
    assert codes.shape == plain.codes.shape[1:]
    if dtype == "float64":
        np.testing.assert_array_equal(codes, plain.codes[0].numpy())
        np.testing.assert_array_equal(codec.encode(pcm, tail=tail), plain.codes[0].numpy())
        np.testing.assert_allclose(latents, plain.latents[0].numpy(), rtol=0, atol=CLOSE)
    else:
        dim = config.codebook_dim
        np.testing.assert_allclose(latents[:dim], plain.latents[0, :dim].numpy(), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
@pytest.mark.parametrize(("stem", "rates"), STEMS, ids=str)
@settings(max_examples=10)
@given(sizes=st.lists(st.integers(0, 9), max_size=15), frames=st.integers(1, 60), levels=st.integers(1, 3))
def test_any_partition_decodes_as_the_reference(
    causal: bool, engine: str, dtype: str, stem: int, rates: tuple[int, ...], sizes: list[int], frames: int, levels: int
) -> None:
    config = minute(rates, causal=causal, stem=stem)
    codec = codec_of(config, dtype, engine)
    codes = np.random.default_rng(frames).integers(0, config.codebook_size, (levels, frames))
    wanted = plain_of(config).decode(codes)[0].numpy()
    for pcm in (codec.decode(codes), streamed(codec.decoder_stream(), codes, sizes)):
        assert pcm.shape == wanted.shape
        np.testing.assert_allclose(pcm, wanted, rtol=0, atol=CLOSE if dtype == "float64" else 1e-4)


@settings(max_examples=30)
@given(
    shape=st.sampled_from(STEMS[:3]),
    length=st.integers(0, 200),
    causal_weights=st.booleans(),
    output_padding=st.booleans(),
)
def test_the_modules_and_the_lengths_are_the_references(
    shape: tuple[int, tuple[int, ...]], length: int, causal_weights: bool, output_padding: bool
) -> None:
    stem, rates = shape
    config = minute(rates, causal=causal_weights, stem=stem, output_padding=output_padding and 1 not in rates)
    model, plain = CodecModel.from_weights(seeded(config)).double(), plain_of(config)
    x = torch.from_numpy(noise(length, seed=length)).double()[None, None]
    wanted = plain.encode(x[:, 0].numpy())
    assert wanted.z.shape[-1] == encoder_plan(config).outputs(length)
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(x), wanted.z, rtol=1e-11, atol=1e-11)
        pcm = model.decode(model.quantizer.from_codes(wanted.codes)[0])
    assert pcm.shape[-1] == decoder_plan(config).outputs(wanted.codes.shape[-1])
    torch.testing.assert_close(pcm[:, 0], plain.decode(wanted.codes), rtol=1e-10, atol=1e-10)


def test_the_declared_field_is_the_measured_one(causal: bool) -> None:
    config = minute((4, 2), causal=causal, stem=8)
    hop, (low, high) = config.hop_length, encoder_plan(config).receptive_field
    assert hop == 64
    assert not causal or (high == hop - 1 and encoder_plan(config).lookahead == 0)
    frame = -low // hop + 2
    pcm = noise((frame + 2) * hop + high + 8, seed=3)
    z = plain_of(config).encode(pcm).z
    for sample, seen in ((low - 1, False), (low, True), (high, True), (high + 1, False)):
        moved = pcm.copy()
        moved[frame * hop + sample] += 50
        assert bool((plain_of(config).encode(moved).z != z)[0, :, frame].any()) is seen, sample


def test_the_stem_is_one_convolution_and_its_mirror() -> None:
    config = CodecConfig(encoder_dim=6, encoder_rates=(4,), decoder_dim=10, decoder_rates=(4,), stem=8)
    shapes = tensor_shapes(config)
    assert shapes["encoder.block.0.weight"] == (6, 1, 16)
    assert shapes["decoder.model.3.weight"] == (5, 1, 16)
    assert set(shapes) == set(tensor_shapes(CodecConfig(encoder_dim=6, encoder_rates=(4,), decoder_dim=10,
                                                        decoder_rates=(4,))))  # fmt: skip
    assert encoder_plan(config).layers[0].rate_out == 4
    assert decoder_plan(config).layers[-1].rate_out == 32


@pytest.mark.parametrize("bad", [0, -8, 2.0, True, "8"])
def test_a_stem_is_a_whole_number(bad: Any) -> None:
    with pytest.raises(ConfigError, match="stem is"):
        CodecConfig(stem=bad)


def test_without_a_stem_all_is_as_it_was(tmp_path: Path) -> None:
    """JSON and hashes of version 1 files, written down before there was a stem."""
    assert [c for c in PRESETS.values() if c.stem == 1 and "stem" in json.loads(c.to_json())] == []
    assert CodecConfig.from_dict(CodecConfig(stem=1).to_dict()) == CodecConfig()
    with_stem = minute(stem=4)
    assert CodecConfig.from_json(with_stem.to_json()) == with_stem
    assert with_stem.to_dict()["stem"] == 4
    save_weights(seeded(with_stem), tmp_path / "w.safetensors", half=True)
    assert load_weights(tmp_path / "w.safetensors").codec_hash == seeded(with_stem).codec_hash


def test_dacs_own_layouts_refuse_a_stem(tmp_path: Path) -> None:
    for name in ("w.pth", "folder"):
        with pytest.raises(WeightsError, match="stem"):
            save_weights(seeded(minute(stem=4)), tmp_path / name)
        assert not (tmp_path / name).exists()
