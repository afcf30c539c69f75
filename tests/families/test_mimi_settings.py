"""What transformers takes from a Mimi's config.json, under the names of all its releases, is what is taken here."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from streamrvq.families.mimi import config_of
from streamrvq.weights import load_weights
from tests.families.pairs import SETTINGS, pair
from tests.reference.official import hf_model
from tests.reference.spread import official, save


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_type": "default"}, "rope_theta": 100.0},
        {"rope_parameters": {"rope_theta": 50.0}, "rope_scaling": {"type": "default"}, "rope_theta": 100.0},
        {"rope_parameters": {}, "rope_scaling": {"rope_theta": 50.0}, "rope_theta": 100.0},
        {"rope_scaling": {}, "rope_theta": 100.0},
        {"rope_parameters": None, "rope_theta": 100.0},
        {"_frame_rate": 25.0},
        {"_frame_rate": 12.5, "frame_rate": 25.0},
        {"head_dim": None, "upsampling_ratios": None},
    ],
    ids=str,
)
def test_fields_of_mimis_configuration_mean_what_they_mean_in_transformers(change: Any) -> None:
    values = pair("mimi").model.config.to_dict() | change
    ours, theirs = config_of(values), hf_model("Mimi", **copy.deepcopy(values)).config
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]
    assert ours.latent_stride == theirs.latent_stride
    assert ours.head_dim == theirs.head_dim
    assert list(ours.upsampling_ratios) == list(theirs.upsampling_ratios)


def test_a_frame_rate_that_transformers_saves_is_read(tmp_path: Path) -> None:
    """Under ``_frame_rate``, since release 5; at the default rate it is not told from none."""
    folder = save(official("Mimi", **SETTINGS["small"]["mimi"], frame_rate=25.0, sampling_rate=96000), tmp_path / "m")
    assert "frame_rate" not in json.loads((folder / "config.json").read_text())
    assert load_weights(folder).config.hop_length == 3840


def test_entries_of_as_many_dimensions_as_the_latents() -> None:
    """Which older releases spell as null."""
    values = pair("mimi").model.config.to_dict() | {"codebook_dim": None, "vector_quantization_hidden_dimension": 32}
    assert config_of(values).codebook_dim == 32
