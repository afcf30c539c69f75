"""Descript's .pth and Hugging Face's folder, both ways, against the official packages, with every misfit."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from streamrvq.config import CodecConfig
from streamrvq.errors import WeightsError
from streamrvq.families import tensor_shapes
from streamrvq.nn import CodecModel
from streamrvq.weights import Weights, load_weights, save_weights, seeded
from tests.reference.official import hf_dac, load_official_dac, official_dac, save_official_dac
from tests.support.small_codec import ANY, CONFIG, SMALL, same, ulps

# --- descript's .pth


def test_pth_round_trip(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "w.pth"
    trained = dataclasses.replace(weights, config=dataclasses.replace(CONFIG, output_padding=True), trained=True)
    for original in (weights, trained):
        save_weights(original, path)
        back = load_weights(path)
        assert back.config == original.config
        assert (back.name, back.trained) == ("small", original.trained)
        for name, value in original.tensors.items():
            assert ulps(back.tensors[name], value) <= 1, name


@pytest.mark.heavy
def test_pth_of_the_official_model_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = official_dac(**SMALL, quantizer_dropout=0.5)
    save_official_dac(model, tmp_path / "dac.pth")
    assert not load_weights(tmp_path / "dac.pth").trained, "they are as they were made"
    with torch.no_grad():
        next(value for name, value in model.named_parameters() if name.endswith("alpha")).add_(0.1)
    save_official_dac(model, tmp_path / "dac.pth")
    weights = load_weights(tmp_path / "dac.pth")
    assert weights.trained
    assert weights.name == "dac"
    assert weights.config.latent_channels == 16
    assert {name: value.shape for name, value in weights.tensors.items()} == tensor_shapes(weights.config)
    check_equal(model, CodecModel.from_weights(weights))


@pytest.mark.heavy
def test_pth_that_we_write_is_read_by_the_official_model(tmp_path: Path, weights: Weights) -> None:
    save_weights(weights, tmp_path / "w.pth")
    check_equal(load_official_dac(tmp_path / "w.pth"), CodecModel.from_weights(weights))


def check_equal(official: Any, ours: CodecModel) -> None:
    x = 0.2 * torch.randn(2, 1, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = official.double()(x), ours.double()(x)
    assert torch.equal(a["codes"], b["codes"])
    for name in ("audio", "z", "latents"):
        torch.testing.assert_close(b[name], a[name], rtol=1e-4, atol=1e-5)


def test_pth_misfits(tmp_path: Path, weights: Weights) -> None:
    path = tmp_path / "w.pth"
    save_weights(weights, path)
    content = torch.load(path, weights_only=True)

    def refused(message: str, thing: Any) -> None:
        torch.save(thing, path)
        with pytest.raises(WeightsError, match=message) as caught:
            load_weights(path)
        assert "\n" not in str(caught.value)

    state, kwargs = content["state_dict"], content["metadata"]["kwargs"]
    refused("not in the layout of dac.DAC", state)
    refused("not in the layout of dac.DAC", [1])
    refused("not in the layout of dac.DAC", {"state_dict": state, "metadata": {}})
    refused("more than tensors", {**content, "metadata": {"kwargs": kwargs, "when": Path("x")}})
    refused("kwargs .* cannot be used: codebook_size is 0", changed(content, codebook_size=0))
    refused(r"codebook_dim \[4, 4, 8\]", changed(content, codebook_dim=[4, 4, 8]))
    refused(r"codebook\.weight in .* has shape \[16, 4\]; wanted \[16, 5\]|has shape", changed(content, codebook_dim=5))
    refused("is a list; wanted a tensor", {**content, "state_dict": {**state, "extra": [1]}})
    refused("lacks .*quantizers.3", changed(content, n_codebooks=4))
    torch.save(changed(content, codebook_dim=[4, 4, 4], d_out=1), path)  # keywords unknown to us are left aside
    assert load_weights(path).config == CONFIG
    half = {name: value.bfloat16() for name, value in state.items()}
    torch.save({**content, "state_dict": half}, path)
    np.testing.assert_allclose(load_weights(path).tensors[ANY], weights.tensors[ANY], rtol=0.02, atol=1e-3)
    data = path.read_bytes()
    for bad in (b"", b"PK\x03\x04", data[: len(data) // 2], b"hello" * 100):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match=r"w\.pth"):
            load_weights(path)


def changed(content: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    return {**content, "metadata": {"kwargs": {**content["metadata"]["kwargs"], **kwargs}}}


# --- Hugging Face's folder


def hf_kwargs(**changes: Any) -> dict[str, Any]:
    return {
        "encoder_hidden_size": 4, "downsampling_ratios": [2, 5], "decoder_hidden_size": 16, "n_codebooks": 3,
        "codebook_size": 16, "codebook_dim": 4, "sampling_rate": 24000, **changes,
    }  # fmt: skip


def test_folder_round_trip(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, output_padding=True, sample_rate=24000, quantizer_dropout=0.5)
    weights = seeded(config, 5, "small")
    save_weights(weights, tmp_path / "model")
    back = load_weights(tmp_path / "model")
    assert same(back, weights)  # folded on disk: nothing is lost
    assert back.codec_hash == weights.codec_hash
    assert (back.name, back.trained) == ("small", False)
    assert sorted(os.listdir(tmp_path / "model")) == ["config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.mark.heavy
@pytest.mark.parametrize("weight_norm", [False, True])
def test_folder_of_transformers_is_read(tmp_path: Path, weight_norm: bool) -> None:
    torch.manual_seed(0)
    model = hf_dac(**hf_kwargs())
    for name, parameter in model.named_parameters():  # transformers' own first values are far too small
        if name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.3)
    if weight_norm:
        model.apply_weight_norm()
    model.save_pretrained(tmp_path)
    weights = load_weights(tmp_path)
    assert not weights.trained, "its activations are as they were made"
    assert weights.config.sample_rate == 24000
    assert weights.config.latent_channels == 16
    hf_equal(model, weights)


@pytest.mark.heavy
@pytest.mark.parametrize("latent_dim", [None, 12])
def test_folder_that_we_write_is_read_by_transformers(tmp_path: Path, latent_dim: int | None) -> None:
    from transformers import AutoFeatureExtractor, DacModel

    weights = seeded(CodecConfig(**SMALL, latent_dim=latent_dim, sample_rate=24000))
    save_weights(weights, tmp_path, layout="huggingface")
    model, report = DacModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    hf_equal(model.eval(), weights)
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert (extractor.sampling_rate, extractor.hop_length) == (24000, 10)


def test_a_folder_of_transformers_with_its_tensors_in_several_files(tmp_path: Path) -> None:
    hf_dac(**hf_kwargs()).save_pretrained(tmp_path, max_shard_size="2KB")
    assert not (tmp_path / "model.safetensors").exists()
    with pytest.raises(WeightsError, match=r"has its tensors in several files and no .* with a larger max_shard_size$"):
        load_weights(tmp_path)


def hf_equal(model: Any, weights: Weights) -> None:
    ours = CodecModel.from_weights(weights).double()
    x = 0.2 * torch.randn(2, 1, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = model.double().eval().encode(x)
        z, codes, latents, _, _ = ours.encode(x)
        assert torch.equal(theirs.audio_codes, codes)
        assert len(codes.unique()) > 8
        torch.testing.assert_close(theirs.projected_latents, latents, rtol=1e-4, atol=1e-4)
        audio = model.decode(audio_codes=codes).audio_values
        torch.testing.assert_close(audio, ours.decode(z)[:, 0], rtol=1e-4, atol=1e-4)


def test_folder_misfits(tmp_path: Path, weights: Weights) -> None:
    folder = tmp_path / "m"
    save_weights(weights, folder)
    config = folder / "config.json"
    values = json.loads(config.read_text())
    for change, message in (
        ({"model_type": "vocos"}, 'model_type .vocos.; wanted one of "dac"'),
        ({"model_type": ["dac"]}, 'model_type ..dac..; wanted one of "dac"'),
        ({"encoder_hidden_size": "4"}, "encoder_dim is '4'"),
        ({"downsampling_ratios": 3}, "encoder_rates is 3"),
        ({"hidden_size": 13}, r"encoder\.block\.4\.weight in .* has shape \[12, 16, 3\]; wanted \[13, 16, 3\]"),
    ):
        config.write_text(json.dumps({**values, **change}))
        with pytest.raises(WeightsError, match=message):
            load_weights(folder)
    for text in ("{", "[]", "[" * 100_000):
        config.write_text(text)
        with pytest.raises(WeightsError, match=r"config\.json"):
            load_weights(folder)
    config.unlink()
    with pytest.raises(WeightsError, match=r"cannot read .*config\.json: No such file"):
        load_weights(folder)
    config.write_text(json.dumps(values))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors.*save_pretrained"):
        load_weights(folder)


def test_what_the_official_models_cannot_be_is_not_written(tmp_path: Path, weights: Weights) -> None:
    causal = seeded(dataclasses.replace(CONFIG, causal=True), name="c")
    for path in (tmp_path / "c.pth", tmp_path / "c"):
        with pytest.raises(WeightsError, match=r"c is causal.*save as \.safetensors"):
            save_weights(causal, path)
    for change, message in (({"decoder_rates": (2, 5)}, "decoder rates"), ({"codebook_size": 17}, "power of 2")):
        with pytest.raises(WeightsError, match=message):
            save_weights(seeded(dataclasses.replace(CONFIG, **change)), tmp_path / "c")
    assert not os.listdir(tmp_path)
