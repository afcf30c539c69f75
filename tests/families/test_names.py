"""The same weights under every name that they have: transformers' files, and those of the packages encodec and moshi.

Knows: the packages' names, spelt out here in the other direction than in families/. Does not know: what the codecs
compute. test_own_packages.py loads them into encodec and moshi, and test_full_width.py a file of them alone.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from streamrvq.errors import WeightsError
from streamrvq.families import FAMILIES as FAMILY
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.weights import load_weights, save_weights, seeded
from streamrvq.weights.fold import fold, pair_names, split
from tests.families.pairs import FAMILIES, pair
from tests.support.small_codec import CONFIG


def encodec_names(model: Any) -> dict[str, torch.Tensor]:
    """The state dict of the package encodec."""
    transposed = {name for name, module in model.named_modules() if isinstance(module, torch.nn.ConvTranspose1d)}
    named = {}
    for name, value in model.state_dict().items():
        module = name.split(".parametrizations.")[0].removesuffix(".bias")
        new = name.replace(".parametrizations.weight.original0", ".weight_g")
        new = new.replace(".parametrizations.weight.original1", ".weight_v")
        conv = ".convtr.convtr." if module in transposed else ".conv.conv."
        new = re.sub(r"^(encoder|decoder)\.layers\.", r"\1.model.", new.replace(".conv.", conv))
        new = new.replace("quantizer.layers", "quantizer.vq.layers").replace(".codebook.", "._codebook.")
        named[new] = value.float().contiguous()
    return named


def moshi_names(model: Any) -> dict[str, torch.Tensor]:
    """The state dict of the package moshi: q, k and v stacked, with the rows of q and k in pairs."""
    transposed = {name for name, module in model.named_modules() if isinstance(module, torch.nn.ConvTranspose1d)}
    heads, named, stacks = model.config.num_attention_heads, {}, dict[str, dict[str, torch.Tensor]]()
    for name, value in model.state_dict().items():
        new = re.sub(r"^(encoder|decoder)\.(?:\1)_seanet\.layers\.", r"\1.model.", name)
        new = re.sub(r"^(?:encoder|decoder)\.(encoder|decoder)_transformer\.", r"\1_transformer.transformer.", new)
        if found := re.match(r"(.*)\.([qkv])_proj\.weight$", new):
            rows = value
            if found[2] != "v":
                rows = value.view(heads, 2, -1, value.shape[1]).transpose(1, 2).reshape(value.shape)
            stacks.setdefault(f"{found[1]}.in_proj_weight", {})[found[2]] = rows
            continue
        twice = name.rpartition(".")[0] in transposed
        if "seanet" in name:
            new = new.replace(".conv.", ".convtr.convtr." if twice else ".conv.conv.")
        for theirs, ours in (
            ("encoder.downsample.conv.", "downsample.conv.conv.conv."),
            ("decoder.upsample.conv.", "upsample.convtr.convtr.convtr."), (".o_proj.", ".out_proj."),
            (".mlp.fc", ".linear"), (".input_layernorm.", ".norm1."), (".post_attention_layernorm.", ".norm2."),
            (".self_attn_layer_scale.", ".layer_scale_1."), (".mlp_layer_scale.", ".layer_scale_2."),
            (".semantic_residual_vector_quantizer.layers", ".rvq_first.vq.layers"),
            (".acoustic_residual_vector_quantizer.layers", ".rvq_rest.vq.layers"),
            (".semantic_residual_vector_quantizer.", ".rvq_first."),
            (".acoustic_residual_vector_quantizer.", ".rvq_rest."),
            (".codebook.embed_sum", "._codebook.embedding_sum"), (".codebook.cluster", "._codebook.cluster"),
            (".codebook.initialized", "._codebook._initialized"),
        ):  # fmt: skip
            new = new.replace(theirs, ours)
        named[new] = value.float().contiguous()
    stacked = {name: torch.cat([parts[part] for part in "qkv"]).float() for name, parts in stacks.items()}
    return named | stacked


NAMES = {"encodec": encodec_names, "mimi": moshi_names}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_with_the_packages_names(name: str, tmp_path: Path) -> None:
    both = pair(name)
    (tmp_path / "config.json").write_text((both.folder / "config.json").read_text())
    save_file(NAMES[name](both.model), tmp_path / "model.safetensors")
    assert load_weights(tmp_path).codec_hash == both.single.codec_hash


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_packages_names_with_weight_norm_of_another_style(name: str, folded: bool, tmp_path: Path) -> None:
    """Folded, or in pairs as torch's parametrizations name them; as the package itself writes them, see above."""
    both = pair(name)
    tensors = fold({key: value.numpy() for key, value in NAMES[name](both.model).items()})
    weights = [key for key in tensors if re.search(r"\.conv(tr)?\.weight$", key)]
    assert len(weights) > 10
    for key in [] if folded else weights:
        _, (g, v) = pair_names(key)
        tensors[g], tensors[v] = split(tensors.pop(key))
    assert FAMILY[name].foreign.guess(tensors) is not None
    (tmp_path / "config.json").write_text((both.folder / "config.json").read_text())
    save_file({key: torch.from_numpy(value) for key, value in tensors.items()}, tmp_path / "model.safetensors")
    wanted = both.single.weights.tensors
    for key, value in load_weights(tmp_path).tensors.items():
        np.testing.assert_allclose(value, wanted[key], rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_model_in_memory_has_other_names_than_its_file(name: str, tmp_path: Path) -> None:
    both = pair(name)
    (tmp_path / "config.json").write_text((both.folder / "config.json").read_text())
    save_file({key: value.float() for key, value in both.model.state_dict().items()}, tmp_path / "model.safetensors")
    assert load_weights(tmp_path).codec_hash == both.single.codec_hash


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_missing_or_unknown_is_named(name: str, tmp_path: Path) -> None:
    folder = pair(name).folder
    tensors = load_file(folder / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    some = next(key for key in tensors if key.endswith(".bias"))
    lstm = next((key for key in tensors if "bias_hh" in key), some)
    usage = next((key for key in tensors if "cluster_usage" in key), some)
    keys = next((key for key in tensors if "k_proj" in key), some)
    for left_out in {some, lstm, usage, keys}:
        save_file({key: value for key, value in tensors.items() if key != left_out}, tmp_path / "model.safetensors")
        with pytest.raises(WeightsError, match=r"lacks|without"):
            load_weights(tmp_path)
    save_file(tensors | {"extra": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"has extra"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "tensor", "other"),
    [
        ("encodec", "decoder.layers.0.conv.bias", "decoder.model.0.conv.conv.bias"),
        ("encodec", "decoder.layers.1.lstm.bias_ih_l0", "decoder.layers.1.lstm.bias_l0"),
        ("mimi", "decoder.layers.0.conv.bias", "decoder.decoder_seanet.layers.0.conv.bias"),
        (
            "mimi", "decoder_transformer.layers.0.self_attn.q_proj.weight",
            "decoder_transformer.layers.0.self_attn.in_proj.weight",
        ),
        ("dac", "decoder.conv1.bias", "decoder.model.0.bias"),
    ],
)  # fmt: skip
def test_a_tensor_under_two_names_is_refused(name: str, tensor: str, other: str, tmp_path: Path) -> None:
    """Which of them was taken depended on their order in the file."""
    if name == "dac":
        save_weights(seeded(CONFIG), tmp_path)
    else:
        for file in ("config.json", "model.safetensors"):
            (tmp_path / file).write_bytes((pair(name).folder / file).read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors | {other: tensors[tensor].clone()}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="came under two names; wanted one of them: remove the other"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("encodec", "lstm.bias_ih_l0"), ("encodec", "lstm.bias_hh_l1"), ("mimi", "q_proj.weight"),
        ("mimi", "v_proj.weight"), ("mimi", "embed_sum"), ("mimi", "cluster_usage"),
    ],
)  # fmt: skip
def test_parts_of_a_tensor_are_finite_numbers_of_a_float_type(name: str, tensor: str, tmp_path: Path) -> None:
    """Of the sum, the stack or the quotient neither would show."""
    folder = pair(name).folder
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    named = next(key for key in tensors if key.endswith(tensor))
    for value, message in (
        (tensors[named].to(torch.int8), "is int8; wanted a float type"),
        (torch.full_like(tensors[named], math.inf), "has a number that is not finite"),
    ):
        save_file(tensors | {named: value}, tmp_path / "model.safetensors")
        with pytest.raises(WeightsError, match=rf"{re.escape(tensor)} {message}"):
            load_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("encodec", {"audio_channels": 2}, "audio_channels is 2; only 1"),
        ("encodec", {"norm_type": "time_group_norm"}, "norm_type is 'time_group_norm'; only 'weight_norm'"),
        ("encodec", {"use_causal_conv": False}, "use_causal_conv is False; only True"),
        ("encodec", {"normalize": True}, "normalize is True; only False"),
        ("encodec", {"chunk_length_s": 1.0}, "chunk_length_s is 1.0; only None"),
        ("encodec", {"trim_right_ratio": 0.5}, "trim_right_ratio is 0.5; only 1.0"),
        ("encodec", {"pad_mode": "circular"}, "pad_mode is 'circular'; wanted one of constant, replicate, reflect"),
        ("encodec", {"target_bandwidths": "6"}, "target_bandwidths is '6'"),
        ("encodec", {"target_bandwidths": []}, "target_bandwidths is"),
        ("encodec", {"target_bandwidths": [math.nan]}, "target_bandwidths is [nan]; wanted a list of kbit/s"),
        ("encodec", {"target_bandwidths": [-math.inf]}, "target_bandwidths is [-inf]; wanted a list of kbit/s"),
        ("encodec", {"target_bandwidths": [math.inf]}, "wanted at most 1024"),
        ("encodec", {"target_bandwidths": [1e308]}, "wanted at most 1024"),
        ("encodec", {"upsampling_ratios": [8, 0]}, "a stride in upsampling_ratios is 0"),
        ("encodec", {"upsampling_ratios": 8}, "upsampling_ratios is 8"),
        ("encodec", {"codebook_dim": 3}, "codebook_dim is 3; wanted hidden_size"),
        ("encodec", {"num_filters": 1 << 40}, "num_filters is 1099511627776"),
        ("encodec", {"num_lstm_layers": -1}, "num_lstm_layers is -1"),
        ("encodec", {"num_lstm_layers": False}, "num_lstm_layers is False"),
        ("encodec", {"num_lstm_layers": None}, "num_lstm_layers is None"),
        ("mimi", {"hidden_act": "silu"}, "hidden_act is 'silu'; only 'gelu'"),
        ("mimi", {"attention_bias": True}, "attention_bias is True"),
        ("mimi", {"num_key_value_heads": 2}, "num_key_value_heads is 2"),
        ("mimi", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, "rope_type is 'linear'"),
        ("mimi", {"rope_parameters": {"type": "linear", "factor": 2.0}}, "rope_type is 'linear'"),
        ("mimi", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type is 'linear'"),
        ("mimi", {"rope_scaling": "linear"}, "rope_scaling is 'linear'; wanted an object"),
        ("mimi", {"rope_parameters": {"rope_theta": "x"}}, "rope_theta is 'x'; wanted a positive number"),
        ("mimi", {"sliding_window": None}, "sliding_window is None; wanted a whole number"),
        ("mimi", {"head_dim": 3}, "head_dim is 3; wanted an even number"),
        ("mimi", {"sliding_window": 0}, "sliding_window is 0"),
        ("mimi", {"upsample_groups": 5}, "upsample_groups is 5; wanted a divisor"),
        ("mimi", {"num_semantic_quantizers": 8}, "num_semantic_quantizers is 8; wanted at most 7"),
        ("mimi", {"num_quantizers": 1}, "n_codebooks is 1; wanted at least 2"),
        ("mimi", {"upsampling_ratios": [256, 512]}, "the product of upsampling_ratios and latent_stride, is"),
        ("mimi", {"codebook_dim": 5}, "wanted vector_quantization_hidden_dimension"),
        ("mimi", {"frame_rate": 0}, "frame_rate is 0"),
        ("mimi", {"frame_rate": 24.9}, "frame_rate is 24.9 where the strides give 25 frames a second; wanted 25, or"),
        ("mimi", {"decoder_config": None}, "decoder_config is null, for a model without that half; wanted a Mimi"),
        ("mimi", {"frame_rate": math.nan}, "frame_rate is nan; wanted at most"),
        ("mimi", {"frame_rate": 5e-324}, "latent_stride is 65537; wanted at most"),
        ("mimi", {"hidden_size": 31}, "upsample_groups is 32; wanted a divisor of 31"),
    ],
)
def test_configurations_that_cannot_be_streamed(name: str, change: Any, message: str, tmp_path: Path) -> None:
    folder = pair(name).folder
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | change))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=f"config.json cannot be used: .*{re.escape(message)}"):
        load_weights(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [("mimi", {"sliding_window": 1 << 20}), ("encodec", {"num_residual_layers": 9, "dilation_growth_rate": 16})],
)
def test_a_few_bytes_ask_for_no_memory(name: str, change: Any, tmp_path: Path) -> None:
    folder = pair(name).folder
    values = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | change))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"has streams that keep .* numbers; wanted at most 67108864"):
        load_weights(tmp_path)


def test_old_fields_of_mimis_configuration(tmp_path: Path) -> None:
    """A theta of its own, a frame rate instead of a stride, no window: files of older transformers have these."""
    folder = pair("mimi").folder
    values = json.loads((folder / "config.json").read_text())
    wanted = load_weights(folder)
    del values["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps(values | {"rope_theta": 10000.0, "frame_rate": 12.5}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert load_weights(tmp_path).codec_hash == wanted.codec_hash


def test_the_released_sizes() -> None:
    encodec, mimi = EncodecConfig(), MimiConfig()
    assert (encodec.hop_length, encodec.n_codebooks, encodec.latent_channels) == (320, 32, 128)
    assert (mimi.hop_length, mimi.n_codebooks, mimi.latent_channels) == (1920, 32, 512)
