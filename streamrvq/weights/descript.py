"""Descript's layout: a torch .pth file of ``{"state_dict": …, "metadata": {"kwargs": …}}``.

Knows: what ``dac.DAC.load`` and ``dac.DAC.save(…, package=False)`` read and write. Does not know: other layouts. It
asks for torch only while it reads or writes; torchfile.py reads the file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..config import CodecConfig
from ..errors import ConfigError, WeightsError
from ..families.dac import normalised
from ..system.foreign_data import shown
from ..system.optional import need
from .fold import pair_names, split
from .tensorfile import printable_name, replace, unreadable
from .torchfile import as_arrays, read_torch
from .value import Weights, codec_config, is_trained

_OURS = "streamrvq"  #: metadata beside ``kwargs`` that DAC does not read


def read(path: Path) -> Weights:
    """Read a .pth file of ``dac.DAC``. Keywords of ``kwargs`` that a `CodecConfig` does not know are ignored.

    Raises:
        WeightsError: the file cannot be read, is damaged, holds code, has another layout, or does not fit its kwargs.
        ExtraError: torch is not installed.
    """
    try:
        content = read_torch(path, "wanted a .pth of dac.DAC: save it again with model.save(path, package=False)")
    except OSError as error:
        raise unreadable(path, error) from None
    state = content.get("state_dict") if isinstance(content, dict) else None
    metadata = content.get("metadata") if isinstance(content, dict) else None
    kwargs = metadata.get("kwargs") if isinstance(metadata, dict) else None
    if not isinstance(state, dict) or not isinstance(metadata, dict) or not isinstance(kwargs, dict):
        raise WeightsError(
            f'{path} is not in the layout of dac.DAC; wanted {{"state_dict": …, "metadata": {{"kwargs": …}}}}: '
            "save it again with model.save(path, package=False)"
        )
    ours = metadata.get(_OURS)
    ours = ours if isinstance(ours, dict) else {}
    config = _config({**kwargs, **({"output_padding": True} if ours.get("output_padding") is True else {})}, path)
    tensors = as_arrays(state, path)
    return Weights.from_tensors(
        config,
        tensors,
        name=printable_name(ours.get("name"), path.stem),
        trained=is_trained(ours, tensors),
        source=str(path),
    )


def _config(kwargs: dict[str, Any], path: Path) -> CodecConfig:
    known = {field.name for field in dataclasses.fields(CodecConfig)}
    values = {name: value for name, value in kwargs.items() if name in known}
    dims = values.get("codebook_dim")
    if isinstance(dims, (list, tuple)) and dims:  # DAC allows one for each level
        if not all(isinstance(dim, int) for dim in dims) or len(set(dims)) > 1:
            raise WeightsError(
                f"{path} has codebook_dim {shown(list(dims))}; wanted one for all levels: no other is supported"
            )
        values["codebook_dim"] = dims[0]
    try:
        return CodecConfig.from_dict(values)
    except ConfigError as error:
        raise WeightsError(f"the kwargs in {path} cannot be used: {error}") from None


def save(weights: Weights, path: Path) -> None:
    """Write a .pth file that ``dac.DAC.load`` reads, with ``weight_g`` and ``weight_v``.

    DAC stores every convolution as a pair, so the folded weight is split: v = w, and g = ‖w‖ rounded to float32. When
    it is folded again, a weight may differ by one unit in the last place, and then the codec hash differs too. Our own
    layout has no such loss.

    Raises:
        WeightsError: the file cannot be written; or the codec is of another family, has a stem or is causal.
            ``dac.DAC`` has neither: it would load the file, or most of it, and compute something else.
        ExtraError: torch is not installed.
    """
    config = codec_config(weights)
    if config.stem > 1:
        raise WeightsError(
            f"{weights.name} has a stem of stride {config.stem}, which dac.DAC cannot have; wanted stem 1 "
            "for a .pth: save as .safetensors"
        )
    if config.causal:
        raise WeightsError(
            f"{weights.name} is causal, and dac.DAC would load it as symmetric; wanted a symmetric codec for a .pth: "
            "save as .safetensors"
        )
    torch = need("torch", "torch", "writing a .pth needs")
    state, pairs = {}, normalised(config)
    for name, value in weights.tensors.items():
        if name in pairs:
            (g_name, v_name), _ = pair_names(name)
            g, v = split(value)
            state[g_name], state[v_name] = torch.tensor(g), torch.tensor(v)
        else:
            state[name] = torch.tensor(value)
    kwargs = config.to_dict()
    output_padding = kwargs.pop("output_padding")
    del kwargs["causal"]
    ours = {"name": weights.name, "trained": weights.trained, "output_padding": output_padding}
    metadata = {"kwargs": kwargs, _OURS: ours}
    replace(path, lambda part: torch.save({"state_dict": state, "metadata": metadata}, part))
