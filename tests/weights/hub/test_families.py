"""The names that people hold, each with a model of its own family that transformers saved: loaded as its folder is.

Knows: how transformers' script made the Hub's DAC files. Does not know: what the codecs compute.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streamrvq import load
from streamrvq.weights import load_weights
from tests.families.pairs import pair
from tests.reference.official import hf_dac
from tests.support.contract import noise
from tests.support.hub.server import Files, Hub

pytestmark = pytest.mark.heavy


def dac_as_converted(folder: Path) -> Files:
    """DacModel's files as transformers' conversion script writes them.

    It changes a configuration that was made already, so that ``hop_length`` stays that of 44.1 kHz. And torch folds the
    weight norm.
    """
    torch.manual_seed(0)
    model = hf_dac(encoder_hidden_size=4, downsampling_ratios=[2, 5], decoder_hidden_size=16, n_codebooks=3,
                   codebook_size=16, codebook_dim=4, sampling_rate=24000)  # fmt: skip
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.3)
        elif name.endswith("alpha"):  # exactly 1 in models that nobody has trained
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.apply_weight_norm()
    for module in model.modules():
        if torch.nn.utils.parametrize.is_parametrized(module):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    model.config.hop_length = 512
    model.save_pretrained(folder)
    values = json.loads((folder / "config.json").read_text())
    assert (values["hop_length"], values["hidden_size"], values["upsampling_ratios"]) == (512, 16, [5, 2])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dac(hub: Hub, tmp_path: Path) -> None:
    hub.repos["descript/dac_24khz"] = [dac_as_converted(tmp_path / "dac")]
    codec, folder = load("descript/dac_24khz"), load(tmp_path / "dac")
    assert (codec.trained, codec.sample_rate, codec.hop_length, codec.n_codebooks) == (True, 24000, 10, 3)
    assert codec.codec_hash == folder.codec_hash
    codes = codec.encode(noise(500))
    assert len(np.unique(codes)) > 8
    np.testing.assert_array_equal(codes, folder.encode(noise(500)))


@pytest.mark.parametrize("name, family", [("facebook/encodec_24khz", "encodec"), ("kyutai/mimi", "mimi")])
def test_encodec_and_mimi(hub: Hub, name: str, family: str) -> None:
    folder = pair(family).folder
    hub.repos[name] = [{path.name: path.read_bytes() for path in folder.iterdir()}]
    weights = load_weights(name)
    assert weights.trained
    assert weights.codec_hash == load_weights(folder).codec_hash
    assert weights.name == name
