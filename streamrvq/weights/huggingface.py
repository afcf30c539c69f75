"""Writing a DAC in Hugging Face's layout: ``config.json`` (DacConfig) and ``model.safetensors`` (DacModel), which
folder.py reads.

Knows: the files, and which codecs a DacModel can be. Does not know: names within them (families/dac.py); transformers
and torch, of which it imports neither.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import save_file

from ..errors import WeightsError
from ..families.base import OURS
from ..families.dac import FIELDS, foreign_modules, renamed
from ..system.atomic_file import replacing_together
from ..system.names import check_path
from .tensorfile import writing
from .value import Weights, codec_config


def save(weights: Weights, folder: Path) -> None:
    """Write a folder that ``DacModel.from_pretrained`` reads. The weights are folded: reading them back loses nothing.

    Raises:
        WeightsError: the folder cannot be written (it is created, its parents are not); or DacModel cannot represent
            the codec: it is of another family, has a stem, is causal, has decoder rates other than its encoder rates
            reversed, or has a codebook_size that is not a power of 2.
    """
    config = codec_config(weights)
    for misfit, is_so in (
        ("has a stem, which DacModel cannot have", config.stem > 1),
        ("is causal, and DacModel would load it as symmetric", config.causal),
        ("has decoder rates other than its encoder rates reversed", config.decoder_rates != config.encoder_rates[::-1]),
        ("has a codebook_size that is not a power of 2", config.codebook_size & (config.codebook_size - 1) != 0),
    ):
        if is_so:
            raise WeightsError(f"{weights.name} {misfit}; wanted a codec that DacModel can be: save as .safetensors")
    ours = config.to_dict()
    values = {theirs: ours[name] for name, theirs in FIELDS.items()}
    values |= {
        "architectures": ["DacModel"],
        "model_type": "dac",
        "hop_length": config.hop_length,
        OURS: {"name": weights.name, "trained": weights.trained, "output_padding": config.output_padding},
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
        check_path(folder)
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"cannot make {folder}: {error.strerror or error}; wanted a place in a folder that is there"
        ) from None
    tensors = renamed(weights.tensors, foreign_modules(config))
    names = "model.safetensors", "preprocessor_config.json", "config.json"
    with writing(folder), replacing_together(folder, names) as (model, extractor, settings):
        save_file(tensors, model.name, {"format": "pt"})
        for file, content in ((extractor, feature_extractor), (settings, values)):
            file.write((json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
