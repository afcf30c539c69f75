"""Hugging Face's layout: a folder with ``config.json`` (DacConfig) and ``model.safetensors`` (DacModel).

Knows: DacConfig's field names and DacModel's tensor names. Does not know: transformers and torch; it imports neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..config import LIMITS, CodecConfig
from ..errors import ConfigError, WeightsError
from ..families.dac import decoder_plan, encoder_plan
from ..system.foreign_data import one_line, shown
from .tensorfile import printable_name, read_bytes, read_tensors, replace, write_tensors
from .value import Weights, is_fresh

_OURS = "streamrvq"  #: a key in config.json that transformers keeps but does not read
_FIELDS = {
    "encoder_dim": "encoder_hidden_size",
    "encoder_rates": "downsampling_ratios",
    "latent_dim": "hidden_size",
    "decoder_dim": "decoder_hidden_size",
    "decoder_rates": "upsampling_ratios",
    "n_codebooks": "n_codebooks",
    "codebook_size": "codebook_size",
    "codebook_dim": "codebook_dim",
    "quantizer_dropout": "quantizer_dropout",
    "sample_rate": "sampling_rate",
}


def _theirs(config: CodecConfig) -> Iterator[tuple[str | None, str]]:
    """Hugging Face's module names in the order of the plans: each convolution's, after that of the Snake before it."""

    def unit(name: str) -> Iterator[tuple[str | None, str]]:
        yield f"{name}.snake1", f"{name}.conv1"
        yield f"{name}.snake2", f"{name}.conv2"

    yield None, "encoder.conv1"
    for i in range(len(config.encoder_rates)):
        block = f"encoder.block.{i}"
        for j in (1, 2, 3):
            yield from unit(f"{block}.res_unit{j}")
        yield f"{block}.snake1", f"{block}.conv1"
    yield "encoder.snake1", "encoder.conv2"
    yield None, "decoder.conv1"
    for i in range(len(config.decoder_rates)):
        block = f"decoder.block.{i}"
        yield f"{block}.snake1", f"{block}.conv_t1"
        for j in (1, 2, 3):
            yield from unit(f"{block}.res_unit{j}")
    yield "decoder.snake1", "decoder.conv2"


def _prefixes(config: CodecConfig) -> dict[str, str]:
    """DAC's module names → Hugging Face's, for every module with tensors whose names differ."""
    layers = (*encoder_plan(config).layers, *decoder_plan(config).layers)
    tensors = [layer.tensors for layer in layers if layer.tensors is not None]
    names: dict[str, str] = {}
    for ours, (snake, conv) in zip(tensors, _theirs(config), strict=True):
        names[_module(ours.weight)] = conv
        if ours.activation is not None and snake is not None:
            names[_module(ours.activation)] = snake
    return names


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def _renamed(tensors: Mapping[str, npt.NDArray[Any]], prefixes: Mapping[str, str]) -> dict[str, npt.NDArray[Any]]:
    """``tensors`` with the module part of each name replaced. Names without an entry (the quantiser's) stay."""
    renamed = {}
    for name, value in tensors.items():
        module, dot, rest = name.partition(".parametrizations.")
        if not dot:
            module, dot, rest = name.rpartition(".")
        renamed[f"{prefixes.get(module, module)}{dot}{rest}"] = value
    return renamed


def read(folder: Path) -> Weights:
    """Read a folder that ``DacModel.save_pretrained`` wrote, with or without weight norm.

    Raises:
        WeightsError: a file is missing or damaged, the model is not a DAC, or the tensors do not fit config.json.
    """
    config_path, model_path = folder / "config.json", folder / "model.safetensors"
    text = read_bytes(config_path, LIMITS["json"])
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"{config_path} is not JSON ({one_line(error)}); wanted a DacConfig: fetch or save it again"
        ) from None
    if not isinstance(values, dict) or values.get("model_type") != "dac":
        came = values.get("model_type") if isinstance(values, dict) else type(values).__name__
        raise WeightsError(f'{config_path} has model_type {shown(came)}; wanted "dac": only DAC folders can be read')
    if not model_path.is_file():
        raise WeightsError(
            f"{folder} has no model.safetensors; wanted one beside config.json: save it again with save_pretrained"
        )
    ours = values.get(_OURS)
    ours = ours if isinstance(ours, dict) else {}
    settings = {name: values[theirs] for name, theirs in _FIELDS.items() if theirs in values}
    rates = settings.setdefault("encoder_rates", [2, 4, 8, 8])  # DacConfig's own defaults
    if isinstance(rates, list):
        settings.setdefault("decoder_rates", rates[::-1])
    settings.setdefault("sample_rate", 16000)
    settings["output_padding"] = ours.get("output_padding") is True
    try:
        config = CodecConfig.from_dict(settings)
    except ConfigError as error:
        raise WeightsError(f"{config_path} cannot be used: {error}") from None
    raw, _ = read_tensors(model_path)
    back = {theirs: ours_ for ours_, theirs in _prefixes(config).items()}
    return Weights.from_tensors(
        config, _renamed(raw, back), name=printable_name(ours.get("name"), folder.resolve().name),
        trained=ours["trained"] is not False if "trained" in ours else not is_fresh(raw), source=str(model_path),
    )  # fmt: skip


def save(weights: Weights, folder: Path) -> None:
    """Write a folder that ``DacModel.from_pretrained`` reads. The weights are folded: reading them back loses nothing.

    Raises:
        WeightsError: the folder cannot be written (it is created, its parents are not); or DacModel cannot represent
            the codec: it has a stem, is causal, has decoder rates other than its encoder rates reversed, or has a
            codebook_size that is not a power of 2.
    """
    config = weights.config
    for misfit, is_so in (
        ("has a stem, which DacModel cannot have", config.stem > 1),
        ("is causal, and DacModel would load it as symmetric", config.causal),
        ("has decoder rates other than its encoder rates reversed", config.decoder_rates != config.encoder_rates[::-1]),
        ("has a codebook_size that is not a power of 2", config.codebook_size & (config.codebook_size - 1) != 0),
    ):
        if is_so:
            raise WeightsError(f"{weights.name} {misfit}; wanted a codec that DacModel can be: save as .safetensors")
    ours = config.to_dict()
    values = {theirs: ours[name] for name, theirs in _FIELDS.items()}
    values |= {
        "architectures": ["DacModel"],
        "model_type": "dac",
        "hop_length": config.hop_length,
        _OURS: {"name": weights.name, "trained": weights.trained, "output_padding": config.output_padding},
    }
    feature_extractor = {
        "feature_extractor_type": "DacFeatureExtractor",
        "feature_size": 1,
        "hop_length": config.hop_length,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "sampling_rate": config.sample_rate,
    }
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot make {folder}: {error}; wanted a place in a folder that is there") from None
    write_tensors(folder / "model.safetensors", _renamed(weights.tensors, _prefixes(config)), {"format": "pt"})
    for name, content in (("config.json", values), ("preprocessor_config.json", feature_extractor)):
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        replace(folder / name, lambda part, text=text: Path(part).write_text(text, encoding="utf-8"))  # type: ignore[misc]
