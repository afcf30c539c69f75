"""What transformers and the package ``moshi`` call Mimi's tensors, and how they become ours.

moshi's rows of q and k come in pairs, re and im of each frequency; transformers' in halves, all re and then all im, and
so do ours. The two rotate alike.

Knows: names, and the three changes that mimi.py lists. Does not know: layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import WeightsError
from .base import Arrays, floats, put

Array = npt.NDArray[Any]

#: The two chains of the quantiser.
CHAINS = "semantic_residual_vector_quantizer", "acoustic_residual_vector_quantizer"
#: What a codebook's sums are divided by at least.
_LEAST_USAGE = 1e-5

#: moshi's names, and transformers'.
_RENAMED = tuple((re.compile(pattern), ours) for pattern, ours in (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.conv(tr)?\.conv(tr)?(\.conv(tr)?)?\.(?=weight|bias|parametrizations\.)", ".conv."),
    (r"^(encoder|decoder)_transformer\.transformer\.", r"\1_transformer."),
    (r"\.norm1\.", ".input_layernorm."),
    (r"\.norm2\.", ".post_attention_layernorm."),
    (r"\.layer_scale_1\.", ".self_attn_layer_scale."),
    (r"\.layer_scale_2\.", ".mlp_layer_scale."),
    (r"\.(linear|gating\.linear)([12])\.weight$", r".mlp.fc\2.weight"),
    (r"\.self_attn\.out_projs?(\.0)?\.weight$", ".self_attn.o_proj.weight"),
    (r"\.self_attn\.(in_projs\.0\.weight|in_proj_weight)$", ".self_attn.in_proj.weight"),
    (r"^quantizer\.rvq_first\.", f"quantizer.{CHAINS[0]}."),
    (r"^quantizer\.rvq_rest\.", f"quantizer.{CHAINS[1]}."),
    (r"\.vq\.layers\.(\d+)\._codebook\.", r".layers.\1.codebook."),
    (r"\.codebook\.embedding_sum$", ".codebook.embed_sum"),
))  # fmt: skip
#: The halves of a model in memory, as transformers names them; its files have none of it.
_HALVES = re.compile(r"^(?:encoder|decoder)\.((?:(?:encoder|decoder)_(?:seanet|transformer)|downsample|upsample)\.)")
#: What only training needs.
_UNUSED = re.compile(r"\.codebook\._?(initialized|embed)$")


class _Heads(Protocol):
    @property
    def num_attention_heads(self) -> int: ...


def tensors_of(config: _Heads, tensors: Mapping[str, Array]) -> Arrays:
    """transformers' tensors, or moshi's, under our names and in our shapes."""
    out: Arrays = {}
    for theirs, value in tensors.items():
        name = _HALVES.sub(r"\1", theirs)
        name = re.sub(r"^(encoder|decoder)_seanet\.", r"\1.", name)
        for pattern, ours in _RENAMED:
            name = pattern.sub(ours, name)
        if _UNUSED.search(name):
            continue
        paired = theirs.endswith((".in_proj_weight", ".in_projs.0.weight"))
        put(out, name, _halves(name, value, config.num_attention_heads) if paired else value)
    for name in [name for name in out if name.endswith(".self_attn.q_proj.weight")]:
        names = [name.replace("q_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
        parts = [floats(each, _needed(out, name, each)) for each in names]
        if {part.shape for part in parts} != {parts[0].shape}:
            raise WeightsError(f"{name} and its k_proj and v_proj have different shapes; wanted equal ones")
        put(out, name.replace("q_proj", "in_proj"), np.concatenate(parts))
    for name in [name for name in out if name.endswith(".codebook.embed_sum")]:
        of_usage = name.replace("embed_sum", "cluster_usage")
        total, usage = floats(name, out.pop(name)), floats(of_usage, _needed(out, name, of_usage))
        if total.ndim != 2 or usage.shape != total.shape[:1]:
            raise WeightsError(f"{name} has shape {list(total.shape)} and its cluster_usage {list(usage.shape)}")
        least = np.maximum(usage.astype(np.float64), _LEAST_USAGE)
        out[name.replace("embed_sum", "embed")] = (total.astype(np.float64) / least[:, None]).astype(np.float32)
    for name in out:
        if out[name].ndim == 2 and re.search(r"\.(in_proj|o_proj|fc1|fc2)\.weight$", name):
            out[name] = out[name][:, :, None]
    return out


def _needed(tensors: Arrays, name: str, other: str) -> Array:
    if other not in tensors:
        raise WeightsError(f"{name} came without {other}; wanted both: save the file again")
    return tensors.pop(other)


def _halves(name: str, stacked: Array, heads: int) -> Array:
    """q, k and v as moshi stacks them, with the rows of q and k in halves."""
    if stacked.ndim != 2 or stacked.shape[0] % (6 * heads):
        raise WeightsError(f"{name} has shape {list(stacked.shape)}; wanted q, k and v of {heads} heads")
    wide = stacked.shape[1]
    q, k, v = stacked.reshape(3, heads, -1, 2, wide)
    halves = [part.transpose(0, 2, 1, 3).reshape(-1, wide) for part in (q, k)]
    return np.concatenate([*halves, v.reshape(-1, wide)])


def guess_levels(tensors: Mapping[str, Any]) -> int:
    """Levels of a quantiser with moshi's names; 0: they are not moshi's."""
    level = re.compile(r"^quantizer\.rvq_(first|rest)\.vq\.layers\.\d+\._codebook\.embedding_sum$")
    return sum(level.match(name) is not None for name in tensors)
