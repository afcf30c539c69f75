"""A folder with ``config.json`` and ``model.safetensors``, as transformers saves models: of which family is it?

Knows: the two files, and where a family's own reading is. Does not know: what is in a family's configuration or what
its tensors are called; transformers and torch, of which it imports neither.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..config import LIMITS, Config, read_json
from ..errors import ConfigError, WeightsError
from ..families import FAMILIES, Family, family_of, tensor_shapes
from ..families.base import OURS
from ..system.foreign_data import shown
from .fit import most_bytes
from .tensorfile import printable_name, read_bytes, read_tensors
from .value import Weights, is_trained


def read(folder: Path) -> Weights:
    """Read a folder that ``save_pretrained`` wrote, with or without weight norm, under transformers' names or under
    those of the family's own package.

    Raises:
        WeightsError: a file is missing or damaged, the model is of no family, or the tensors do not fit config.json.
    """
    config_path, model_path = folder / "config.json", folder / "model.safetensors"
    try:
        values = read_json(read_bytes(config_path, LIMITS["json"]))
    except ConfigError as error:
        raise WeightsError(f"{config_path} cannot be used: {error}; fetch or save it again") from None
    name = values.get("model_type")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        wanted = ", ".join(f'"{known}"' for known in FAMILIES)
        raise WeightsError(f"{config_path} has model_type {shown(name)}; wanted one of {wanted}: no other can be read")
    if not os.path.isfile(model_path):
        shards = os.path.lexists(folder / "model.safetensors.index.json")
        came = "its tensors in several files and no" if shards else "no"
        raise WeightsError(
            f"{folder} has {came} model.safetensors; wanted one beside config.json: save it again with save_pretrained"
            f"{', with a larger max_shard_size' if shards else ''}"
        )
    try:
        config: Config = family.foreign.config(values)
        tensor_shapes(config)  # refuses one that is too large before anything is read
    except ConfigError as error:
        raise WeightsError(f"{config_path} cannot be used: {error}") from None
    raw, _ = read_tensors(model_path, lambda *_: most_bytes(config))
    ours = values.get(OURS)
    ours = ours if isinstance(ours, dict) else {}
    return _weights(
        family, config, raw, name=printable_name(ours.get("name"), folder.resolve().name),
        trained=is_trained(ours, raw), source=str(model_path),
    )  # fmt: skip


def guessed(tensors: Mapping[str, npt.NDArray[Any]]) -> Config | None:
    """The configuration of a file of tensors alone, whose names say which package wrote it; None: no family's does."""
    for family in FAMILIES.values():
        config: Config | None = family.foreign.guess(tensors)
        if config is not None:
            return config
    return None


def of_guess(config: Config, tensors: Mapping[str, npt.NDArray[Any]], path: Path) -> Weights:
    """The weights in a file of tensors alone, whose configuration was `guessed`."""
    name = printable_name(None, path.stem)
    return _weights(family_of(config), config, tensors, name=name, trained=True, source=str(path))


def _weights(
    family: Family[Any], config: Any, raw: Mapping[str, npt.NDArray[Any]], *, name: str, trained: bool, source: str
) -> Weights:
    tensors = family.foreign.tensors(config, raw)
    return Weights.from_tensors(config, tensors, name=name, trained=trained, source=source)
