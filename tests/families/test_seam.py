"""The seam of a codec family: the plans name every tensor, and no other module spells a name or knows a family.

Knows: the sources, and the integers of small codecs. Does not know: how a layer streams (test_geometry.py).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import streamrvq
from streamrvq.config import PRESETS, Config
from streamrvq.errors import ConfigError, InputError
from streamrvq.families import config_from_json, decoder_plan, encoder_plan, family_of, plan, tensor_shapes
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.geometry import Activation, LayerKind
from tests.support.contract import minute
from tests.support.imports import imports, modules

ROOT = Path(streamrvq.__file__).parent
#: What only families/ may spell: the official packages' tensors.
NAMES = re.compile(
    r"quantizer\.(quantizers|layers|vq)|(en|de)coder\.(block|model|layers)\.|(in|out|input|output)_proj\.(weight|bias)"
    r"|codebook\.(weight|embed)|_transformer|rvq_(first|rest)"
)


def texts(path: Path) -> list[str]:
    """The strings of a file that are not documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [str(node.value) for node in strings if id(node) not in documentation]


def test_tensor_names_are_spelled_in_one_place() -> None:
    spelled = {name for name, path in modules(ROOT).items() if any(NAMES.search(text) for text in texts(path))}
    families = {name for name in spelled if name.startswith("streamrvq.families.")}
    assert "streamrvq.families.dac" in families
    assert spelled == families


def test_who_knows_the_family() -> None:
    """The torch modules are its network, and two layouts of weights are its; no other module may import it."""
    knowing = {module for module, names in imports(ROOT).items() if any(".families.dac" in name for name in names)}
    allowed = {"families", "nn", "weights"}
    assert {name.split(".")[1] for name in knowing} <= allowed, knowing
    others = re.compile(r"\.families\.(encodec|mimi|mimi_names|seanet)\b")
    knowing = {module for module, names in imports(ROOT).items() if any(others.search(name) for name in names)}
    assert {name.split(".")[1] for name in knowing} == {"families"}, knowing


@pytest.mark.parametrize(
    "config",
    [minute((2, 3)), minute((2, 3), stem=4), EncodecConfig(), MimiConfig()],
    ids=lambda one: one.to_json()[:20],
)
def test_the_plans_name_every_tensor(config: Config) -> None:
    encoder, decoder = encoder_plan(config), decoder_plan(config)
    named = [*encoder.tensor_names, *decoder.tensor_names, *encoder.quantizer.tensor_names]
    assert len(set(named)) == len(named)
    assert sorted(named) == sorted(tensor_shapes(config))
    assert decoder.quantizer == encoder.quantizer


def test_the_cost_of_the_new_families() -> None:
    """State and work of the released sizes, as they were measured on the originals."""
    for config, states, gflops in (
        (EncodecConfig(), (9094, 4928), (2.98, 2.98)), (MimiConfig(), (2_051_334, 2_047_360), (5.42, 5.49)),
    ):  # fmt: skip
        plans = encoder_plan(config), decoder_plan(config)
        assert tuple(plan.state_size for plan in plans) == states
        rate = config.sample_rate / config.hop_length
        assert tuple(round(2e-9 * plan.macs * rate, 2) for plan in plans) == gflops


def test_a_configuration_says_its_family() -> None:
    for config in (PRESETS["dac-44khz"], PRESETS["causal-44khz"], EncodecConfig(), MimiConfig(sliding_window=9)):
        again = config_from_json(config.to_json())
        assert again == config
        assert type(again) is type(config)
    assert "family" not in PRESETS["dac-44khz"].to_dict()  # so that hashes stay what they were
    for text, message in (
        ('{"family": "vocos"}', "the family is 'vocos'; this release knows dac, encodec, mimi"),
        ('{"family": ["dac"]}', "the family is"),
        ('{"family": "mimi", "stem": 4}', "unknown configuration key 'stem'"),
        ('{"family": "encodec", "num_filters": "2"}', "num_filters is '2'"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            config_from_json(text)


def test_both_directions_have_one_quantiser() -> None:
    config = PRESETS["dac-44khz"]
    quantizer = encoder_plan(config).quantizer
    assert quantizer == decoder_plan(config).quantizer
    assert (len(quantizer.levels), quantizer.codebook_size, quantizer.codebook_dim) == (9, 1024, 8)
    assert quantizer.latent_channels == 1024
    assert quantizer.macs(2) == 2 * quantizer.macs() // 9 == 2 * 8 * (2 * 1024 + 1024)


def test_an_activation_has_its_tensor() -> None:
    for layer in (*encoder_plan(minute()).layers, *decoder_plan(minute()).layers):
        convolution = layer.kind in (LayerKind.CONV, LayerKind.TRANSPOSED_CONV)
        assert (layer.tensors is not None) == convolution
        named = layer.tensors is not None and layer.tensors.activation is not None
        assert named == (layer.activation == Activation.SNAKE)


def test_the_family_of_the_presets() -> None:
    assert {family_of(config).name for config in PRESETS.values()} == {"dac"}


def test_another_direction_is_refused() -> None:
    with pytest.raises(InputError, match="direction is 'sideways'; wanted 'encode' or 'decode'"):
        plan(minute(), "sideways")  # type: ignore[arg-type]
