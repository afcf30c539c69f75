"""Our own layout: one .safetensors file with folded tensors, and everything else in its metadata.

Metadata: ``format`` "streamrvq", ``version`` "1", ``config`` (canonical JSON), ``name``, ``trained`` "true" or "false",
``codec_hash``, and ``training`` where it is known, such as "12 steps, 34 s of audio". Tensors are float32, or float16
if that is exact. In both cases the hash is of the float32 values. It is checked on reading, so a flipped bit is found.

Knows: the metadata's keys and the format's version. Does not know: other layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import ConfigError, WeightsError
from ..families import config_from_json
from ..system.foreign_data import one_line, shown
from .fit import check_unfolded, most_bytes
from .folder import guessed, of_guess
from .tensorfile import printable_name, read_tensors, write_tensors
from .value import Weights

VERSION = "1"


def save(weights: Weights, path: Path, half: bool = False) -> None:
    """Write ``weights``; with ``half`` as float16.

    Raises:
        WeightsError: the file cannot be written; or, with ``half``, float16 cannot hold a value (it is named).
    """
    tensors: dict[str, npt.NDArray[Any]] = dict(weights.tensors)
    if half:
        tensors = {name: _halved(name, value) for name, value in weights.tensors.items()}
    metadata = {
        "format": "streamrvq",
        "version": VERSION,
        "config": weights.config.to_json(),
        "name": weights.name,
        "trained": "true" if weights.trained else "false",
        "codec_hash": weights.codec_hash,
    }
    if weights.training:
        metadata["training"] = weights.training
    write_tensors(path, tensors, metadata)


def _halved(name: str, value: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    wrong = half.astype(np.float32) != value
    if wrong.any():
        at = [int(i) for i in np.argwhere(wrong)[0]]
        raise WeightsError(
            f"{name} is {value[tuple(at)]} at {at}, which float16 cannot hold; wanted values that it holds exactly: "
            "save with half=False"
        )
    return half


def read(path: Path) -> Weights:
    """The inverse of `save`; or, read from its tensors' names, the file of a family's own package (folder.py).

    Raises:
        WeightsError: the file cannot be read, is damaged, is of another program or version, or does not fit its
            config.
    """
    tensors, metadata = read_tensors(path, lambda outlines, metadata: _most(outlines, metadata, path))
    config = _config(tensors, metadata, path)
    if metadata.get("format") != "streamrvq":
        return of_guess(config, tensors, path)
    trained = metadata.get("trained") == "true"
    name = printable_name(metadata.get("name"), path.stem)
    training = printable_name(metadata.get("training"), "")
    weights = Weights.from_tensors(config, tensors, name=name, trained=trained, training=training, source=str(path))
    came = metadata.get("codec_hash")
    if weights.codec_hash != came:
        raise WeightsError(
            f"{path} has codec hash {weights.codec_hash[:12]}… but says {one_line(str(came)[:12])}…; "
            "wanted them equal: the file is damaged, fetch or save it again"
        )
    return weights


def _config(tensors: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str], path: Path) -> Config:
    """Of which codec a file is, from what its header says. Raises `WeightsError`: of none."""
    is_ours = metadata.get("format") == "streamrvq"
    if is_ours and metadata.get("version") != VERSION:
        raise WeightsError(
            f"{path} has format version {shown(metadata.get('version'))}; wanted {VERSION!r}: update streamrvq"
        )
    try:
        config = config_from_json(metadata.get("config", "")) if is_ours else guessed(tensors)
    except ConfigError as error:
        raise WeightsError(f"the configuration in {path} cannot be used: {error}") from None
    if config is None:
        raise WeightsError(
            f"{path} was not saved by streamrvq; wanted its own layout in a .safetensors file: "
            "for a Hugging Face model give the folder that has its config.json"
        )
    return config


def _most(outlines: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str], path: Path) -> int:
    """As `read_tensors` asks for it: a file of something else is refused before its tensors are read."""
    config = _config(outlines, metadata, path)
    try:
        most = most_bytes(config)
    except ConfigError as error:
        raise WeightsError(f"the configuration in {path} cannot be used: {error}") from None
    if metadata.get("format") == "streamrvq":
        check_unfolded(config, outlines, str(path))
    return most
