"""Configurations: what is taken, and that the limits are checked before anything is made from a value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.config import LIMITS, PRESETS, CodecConfig
from streamrvq.errors import ConfigError
from streamrvq.families import tensor_shapes
from streamrvq.weights import seeded
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tests.support.fuzzing.torch_files import VALUES

RIGHT = PRESETS["causal-44khz"].to_dict()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_codebooks": 10**9}, "n_codebooks is 1000000000; wanted at most 1024"),
        ({"codebook_size": 65537}, "codebook_size is 65537; wanted at most 65536"),
        ({"codebook_dim": 10**9}, "codebook_dim is 1000000000; wanted at most 65536"),
        ({"sample_rate": 10**9}, "sample_rate is 1000000000; wanted at most 768000"),
        ({"latent_dim": 10**9}, "latent_dim is 1000000000; wanted at most 65536"),
        ({"encoder_dim": 65536}, "encoder_dim is 65536, which 4 blocks double to 1048576 channels; wanted at most"),
        ({"decoder_dim": 1 << 20}, "decoder_dim is 1048576; wanted at most 65536"),
        ({"encoder_rates": [1] * 60_000}, "encoder_rates has 60000 strides; wanted at most 16"),
        ({"decoder_rates": [2] * 17}, "decoder_rates has 17 strides; wanted at most 16"),
        ({"encoder_rates": [10**9]}, "a stride in encoder_rates is 1000000000; wanted at most 65536"),
        ({"encoder_rates": [512, 512], "decoder_rates": [512, 512]}, "a hop of 262144 samples; wanted at most 65536"),
        ({"stem": 1 << 20}, "stem is 1048576; wanted at most 65536"),
        ({"stem": 1024}, "a hop of 524288 samples"),
        ({"n_codebooks": 10**5000}, "n_codebooks is a int; wanted at most 1024"),
        ({"n_codebooks": 10**400}, "n_codebooks is 1000000"),
        ({"quantizer_dropout": float("nan")}, "quantizer_dropout is nan"),
    ],
)
def test_a_value_beyond_its_limit_is_named_with_the_limit(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CodecConfig(**settings)


def test_a_codec_that_is_too_large_as_a_whole_is_refused_before_it_is_made() -> None:
    config = CodecConfig(encoder_dim=4096, decoder_dim=65536, latent_dim=65536)
    with pytest.raises(ConfigError, match=f"wanted at most {LIMITS['weights']}"):
        tensor_shapes(config)
    with pytest.raises(ConfigError, match="weights; wanted at most"):
        seeded(config)


@pytest.mark.parametrize("name", PRESETS)
def test_released_codecs_are_far_below_the_limits(name: str) -> None:
    config = PRESETS[name]
    assert 16 * config.n_codebooks <= LIMITS["n_codebooks"]
    assert 16 * config.hop_length <= LIMITS["hop_length"]
    assert 16 * max(config.decoder_dim, config.latent_channels) <= LIMITS["channels"]


@given(data=broken_json(RIGHT) | one_change(json.dumps(RIGHT).encode()))
def test_json_with_one_thing_broken(data: bytes) -> None:
    assert_survives("config", data)


@given(name=st.sampled_from(sorted(RIGHT)), value=st.sampled_from(VALUES))
def test_any_value_from_python_is_taken_or_refused_in_one_line(name: str, value: Any) -> None:
    try:
        CodecConfig(**{**RIGHT, name: value()})
    except ConfigError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@pytest.mark.parametrize("values", [None, 5, [1], "text", {1: 2, None: 3}, {("a", 1): 2}, {"\ud800": 1}], ids=repr)
def test_what_is_no_table_of_settings_is_refused_in_one_line(values: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        CodecConfig.from_dict(values)
    assert str(caught.value).isprintable()


def test_a_text_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="wanted at most 1048576"):
        CodecConfig.from_json("[" * (2 << 20))
