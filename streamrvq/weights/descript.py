"""Descript's layout: a torch .pth file of ``{"state_dict": …, "metadata": {"kwargs": …}}``.

Knows: what ``dac.DAC.load`` and ``dac.DAC.save(…, package=False)`` read and write. Does not know: other layouts. It
imports torch only while it reads or writes, and unpickles only tensors and plain values (``weights_only``).
"""

from __future__ import annotations

import dataclasses
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..config import CodecConfig
from ..errors import ConfigError, WeightsError
from ..families.dac import normalised
from .fold import pair_names, split
from .tensorfile import replace, unreadable
from .value import Weights

_OURS = "streamrvq"  #: metadata beside ``kwargs`` that DAC does not read
#: What torch.load raises for a file that it did not write.
_DAMAGE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError)


def read(path: Path) -> Weights:
    """Read a .pth file of ``dac.DAC``. Keywords of ``kwargs`` that a `CodecConfig` does not know are ignored.

    Raises:
        WeightsError: the file cannot be read, is damaged, holds code, has another layout, or does not fit its kwargs.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about archives that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise unreadable(path, error) from None
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(
            f"{path} is damaged or holds more than tensors ({reason}); wanted a .pth of dac.DAC: "
            "save it again with model.save(path, package=False)"
        ) from None
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
    tensors = {str(name): _array(value, str(name), path) for name, value in state.items()}
    return Weights.from_tensors(
        config,
        tensors,
        name=str(ours.get("name", path.stem)),
        trained=ours.get("trained") is not False,
        source=str(path),
    )


def _config(kwargs: dict[str, Any], path: Path) -> CodecConfig:
    known = {field.name for field in dataclasses.fields(CodecConfig)}
    values = {name: value for name, value in kwargs.items() if name in known}
    dims = values.get("codebook_dim")
    if isinstance(dims, (list, tuple)) and dims:  # DAC allows one for each level
        if len(set(dims)) > 1:
            raise WeightsError(
                f"{path} has codebook_dim {list(dims)}; wanted one for all levels: no other is supported"
            )
        values["codebook_dim"] = dims[0]
    try:
        return CodecConfig.from_dict(values)
    except (ConfigError, TypeError) as error:
        raise WeightsError(f"the kwargs in {path} cannot be used: {error}") from None


def _array(value: Any, name: str, path: Path) -> npt.NDArray[Any]:
    import torch

    if not isinstance(value, torch.Tensor):
        raise WeightsError(f"{name} in {path} is a {type(value).__name__}; wanted a tensor: save the state dict only")
    value = value.detach()
    if value.dtype == torch.bfloat16:  # numpy lacks it; float32 holds it exactly
        value = value.float()
    array: npt.NDArray[Any] = value.numpy()
    return array


def save(weights: Weights, path: Path) -> None:
    """Write a .pth file that ``dac.DAC.load`` reads, with ``weight_g`` and ``weight_v``.

    DAC stores every convolution as a pair, so the folded weight is split: v = w, and g = ‖w‖ rounded to float32. When
    it is folded again, a weight may differ by one unit in the last place, and then the codec hash differs too. Our own
    layout has no such loss.

    Raises:
        WeightsError: the file cannot be written; or the codec has a stem or is causal. ``dac.DAC`` has neither: it
            would load the file, or most of it, and compute something else.
    """
    import torch

    if weights.config.stem > 1:
        raise WeightsError(
            f"{weights.name} has a stem of stride {weights.config.stem}, which dac.DAC cannot have; wanted stem 1 "
            "for a .pth: save as .safetensors"
        )
    if weights.config.causal:
        raise WeightsError(
            f"{weights.name} is causal, and dac.DAC would load it as symmetric; wanted a symmetric codec for a .pth: "
            "save as .safetensors"
        )
    state, pairs = {}, normalised(weights.config)
    for name, value in weights.tensors.items():
        if name in pairs:
            (g_name, v_name), _ = pair_names(name)
            g, v = split(value)
            state[g_name], state[v_name] = torch.tensor(g), torch.tensor(v)
        else:
            state[name] = torch.tensor(value)
    kwargs = weights.config.to_dict()
    output_padding = kwargs.pop("output_padding")
    del kwargs["causal"]
    ours = {"name": weights.name, "trained": weights.trained, "output_padding": output_padding}
    metadata = {"kwargs": kwargs, _OURS: ours}
    replace(path, lambda part: torch.save({"state_dict": state, "metadata": metadata}, part))
