"""Official EnCodec and Mimi models with random weights whose codes vary: what tests of these families compare with.

transformers' own first values give codes that hardly vary: the signal fades from layer to layer, and codebooks are
zeros. So weights keep the variance of what goes through them, and each level's entries lie near what the levels before
leave of real latents.

Knows: transformers' models and their modules. Does not know: streamrvq.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.reference.official import hf_model

#: Full strides, paddings and window; few channels.
SMALL_ENCODEC: dict[str, Any] = {"num_filters": 4, "hidden_size": 16, "codebook_size": 64, "target_bandwidths": [3.6]}
SMALL_MIMI: dict[str, Any] = {
    "num_filters": 4, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 8,
    "head_dim": 4, "intermediate_size": 64, "upsample_groups": 32, "codebook_dim": 16, "codebook_size": 64,
    "vector_quantization_hidden_dimension": 16, "num_quantizers": 8,
}  # fmt: skip


def music(samples: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """float32 ``[samples]``: a few gliding tones, noise between them, quiet and loud."""
    rng, t = np.random.default_rng(seed), np.arange(samples) / 24000
    x = sum(
        a * np.sin(2 * np.pi * f * (t + 0.02 * np.sin(2 * np.pi * g * t)))
        for a, f, g in zip(rng.uniform(0.05, 0.2, 5), rng.uniform(80, 4000, 5), rng.uniform(0.3, 4, 5), strict=True)
    )
    loud = 0.3 + np.abs(np.sin(2 * np.pi * rng.uniform(1, 3) * t))
    samples32: np.ndarray[Any, Any] = ((x + 0.1 * rng.standard_normal(samples)) * loud).astype(np.float32)
    return samples32


@torch.no_grad()
def official(name: str, seed: int = 0, **settings: Any) -> Any:
    """``Encodec`` or ``Mimi`` of transformers, float32, in eval mode, with weights that it saves as they are."""
    model = hf_model(name, **settings)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        _spread(module, lambda like: torch.randn(like.shape, generator=generator).to(like))
    last = [module for module in model.decoder.modules() if isinstance(module, torch.nn.Conv1d)][-1]
    last.weight = last.weight * 0.004 if hasattr(last, "parametrizations") else torch.nn.Parameter(last.weight * 0.004)
    samples = min(24000, 300 * math.prod(model.config.upsampling_ratios))
    latents = torch.cat([_latents(model, torch.from_numpy(music(samples, i))) for i in range(4)])
    for book, entries in zip(_books(model), _entries(model, latents, generator), strict=True):
        if name == "Mimi":
            usage = 0.5 + torch.rand(len(entries), generator=generator)
            book.cluster_usage, book.embed_sum, book._embed = usage, entries * usage[:, None], None
        else:
            book.embed = entries
    return model


def save(model: Any, folder: Path) -> Path:
    """The folder that ``save_pretrained`` writes."""
    model.save_pretrained(folder)
    return folder


def _spread(module: Any, random: Any) -> None:
    if isinstance(module, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
        each = module.in_channels // module.groups
        fan = 2 * each if isinstance(module, torch.nn.ConvTranspose1d) else each * module.kernel_size[0]
        weight = random(module.weight) * (1.4 / fan**0.5)
        module.weight = weight if hasattr(module, "parametrizations") else torch.nn.Parameter(weight)
        if module.bias is not None:
            module.bias.copy_(random(module.bias) * 0.05)
    elif isinstance(module, torch.nn.Linear):
        module.weight.copy_(random(module.weight) * 1.5 / module.in_features**0.5)
    elif isinstance(module, torch.nn.LSTM):
        for name, value in module.named_parameters():
            value.copy_(random(value) * (1.5 / module.hidden_size**0.5 if "weight" in name else 0.1))
    elif isinstance(module, torch.nn.LayerNorm):
        module.weight.copy_(1 + 0.2 * random(module.weight))
        module.bias.copy_(0.1 * random(module.bias))
    elif type(module).__name__.endswith("LayerScale"):
        module.scale.copy_(0.2 + 0.1 * random(module.scale))


def _latents(model: Any, pcm: torch.Tensor) -> torch.Tensor:
    """``[T, D]``."""
    z = model.encoder(pcm[None, None])
    latents: torch.Tensor = getattr(z, "latents", z)[0].T
    return latents


def _chains(model: Any) -> list[Any]:
    quantizer = model.quantizer
    if hasattr(quantizer, "layers"):
        return [quantizer]
    return [quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer]


def _books(model: Any) -> list[Any]:
    return [layer.codebook for chain in _chains(model) for layer in chain.layers]


def _entries(model: Any, latents: torch.Tensor, generator: torch.Generator) -> Any:
    for chain in _chains(model):
        projection = getattr(chain, "input_proj", None)
        residual = latents if projection is None else latents @ projection.weight[:, :, 0].T
        for layer in chain.layers:
            size = layer.codebook.codebook_size
            near = residual[torch.randint(0, len(residual), (size,), generator=generator)]
            noise = torch.randn(near.shape, generator=generator)
            # A fifth: after 32 levels the rest is still a thousand times what rounding leaves.
            entries = 0.2 * near + 0.07 * residual.std() * noise
            yield entries
            residual = residual - entries[torch.cdist(residual, entries).argmin(1)]
