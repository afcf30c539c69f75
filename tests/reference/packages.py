"""EnCodec and Mimi of their own packages, ``encodec`` and ``moshi``, with the sizes of a model of transformers.

encodec asks at import time for torchaudio, which only reads and resamples files. moshi asks for sentencepiece, which is
its language model's. Where they are missing, empty modules stand in while the package is imported.

Knows: the packages' classes, and transformers' configurations. Does not know: streamrvq, the names of tensors.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.reference.official import imported, quiet, stand_in


def encodec_package() -> Any:
    """The module ``encodec``."""
    return imported("encodec", "encodec", torchaudio=stand_in("torchaudio"))


def moshi_loaders() -> Any:
    """The module ``moshi.models.loaders``, which makes Mimi."""
    os.environ["NO_TORCH_COMPILE"] = "1"  # compiling takes longer than what is asked of it here
    processor = type("SentencePieceProcessor", (), {})
    sentencepiece = stand_in("sentencepiece", SentencePieceProcessor=processor)
    return imported("moshi.models.loaders", "moshi", sentencepiece=sentencepiece)


def encodec_model(config: Any, path: Path) -> Any:
    """``encodec.EncodecModel`` of the sizes of an ``EncodecConfig``, all levels, with the weights of a file."""
    package = encodec_package()
    sizes = {
        "channels": config.audio_channels, "dimension": config.hidden_size, "n_filters": config.num_filters,
        "n_residual_layers": config.num_residual_layers, "ratios": config.upsampling_ratios, "causal": True,
        "norm": config.norm_type, "kernel_size": config.kernel_size, "last_kernel_size": config.last_kernel_size,
        "residual_kernel_size": config.residual_kernel_size, "dilation_base": config.dilation_growth_rate,
        "pad_mode": config.pad_mode, "compress": config.compress, "lstm": config.num_lstm_layers,
    }  # fmt: skip
    modules = package.model.m
    with quiet():
        model = package.EncodecModel(
            modules.SEANetEncoder(**sizes),
            modules.SEANetDecoder(**sizes),
            package.model.qt.ResidualVectorQuantizer(
                dimension=config.hidden_size, n_q=config.num_quantizers, bins=config.codebook_size
            ),
            config.target_bandwidths,
            config.sampling_rate,
            config.audio_channels,
        )
    return _with(model, path)


def moshi_model(config: Any, path: Path) -> Any:
    """moshi's ``MimiModel`` of the sizes of a ``MimiConfig``, all levels, with the weights of a file.

    Its released sizes are the package's own; a setting that has no counterpart here is left as the package has it.
    """
    loaders = moshi_loaders()
    sizes = copy.deepcopy(loaders._mimi_config)
    hop = 2
    for ratio in config.upsampling_ratios:
        hop *= ratio
    sizes["frame_rate"] = config.sampling_rate / hop
    sizes["seanet"] |= {
        "dimension": config.hidden_size, "n_filters": config.num_filters, "ratios": config.upsampling_ratios,
    }  # fmt: skip
    sizes["quantizer"] |= {
        "dimension": config.codebook_dim, "n_q": config.num_quantizers, "bins": config.codebook_size,
        "input_dimension": config.hidden_size, "output_dimension": config.hidden_size,
    }  # fmt: skip
    sizes["transformer"] |= {
        "d_model": config.hidden_size, "num_heads": config.num_attention_heads,
        "num_layers": config.num_hidden_layers, "context": config.sliding_window,
        "dim_feedforward": config.intermediate_size, "input_dimension": config.hidden_size,
        "output_dimensions": [config.hidden_size],
    }  # fmt: skip
    return _with(loaders.get_mimi(None, sizes, num_codebooks=config.num_quantizers), path)


def _with(model: Any, path: Path) -> Any:
    model.load_state_dict(load_file(path))  # strict: every name and shape is the package's own
    return model.eval()


@torch.no_grad()
def encoded(model: Any, pcm: torch.Tensor) -> tuple[Any, Any]:
    """What the package's own ``encode`` gives of samples ``[n]``, and what its levels quantised on the way.

    Returns:
        codes ``[K, T]`` and each level's input ``[K, D, T]``, numpy arrays.
    """
    quantizer, seen = model.quantizer, list[torch.Tensor]()
    chains = [quantizer] if hasattr(quantizer, "vq") else [quantizer.rvq_first, quantizer.rvq_rest]
    layers = [layer for chain in chains for layer in chain.vq.layers]
    for layer in layers:
        layer.encode = _noting(layer.encode, seen)
    try:
        codes = model.encode(pcm[None, None])
    finally:
        for layer in layers:
            del layer.encode
    codes = codes[0][0] if isinstance(codes, list) else codes
    return codes[0].numpy(), torch.stack(seen).numpy()


def _noting(encode: Any, seen: list[torch.Tensor]) -> Any:
    def noting(x: torch.Tensor) -> Any:
        seen.append(x[0])
        return encode(x)

    return noting


@torch.no_grad()
def decoded(model: Any, codes: Any) -> Any:
    """Samples ``[n]`` of the package's own ``decode`` of codes ``[K, T]``."""
    frames = torch.from_numpy(codes)[None]
    samples = model.decode([(frames, None)]) if hasattr(model.quantizer, "vq") else model.decode(frames)
    return samples[0, 0].numpy()
