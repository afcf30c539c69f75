"""How far ours and the packages ``encodec`` and ``moshi`` are apart on one signal: frames, codes, latents, samples.

The package reads the file with its own names, ours transformers' folder; both come from one model. So a wrong name, or
rows in another order, would give other codes.

Knows: both ways of calling. Does not know: how far apart they may be (test_own_packages.py, tools/own_packages.py).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file

from streamrvq.checking.near_ties import Comparison, compare
from streamrvq.codec import Codec
from streamrvq.geometry import Distance
from tests.families.pairs import Pair
from tests.families.test_names import NAMES
from tests.reference.packages import decoded, encodec_model, encoded, moshi_model

#: The tail of ours that is the package's: encodec fills each layer's last window, moshi the last hop with zeros.
TAILS: dict[str, Literal["valid", "pad"]] = {"encodec": "valid", "mimi": "pad"}
MODELS = {"encodec": encodec_model, "mimi": moshi_model}


@dataclasses.dataclass(frozen=True)
class Apart:
    """What was found.

    Attributes:
        codes: of all levels, judged by a float64 run.
        latents: the largest difference at a level, as a share of the level's largest value; the worst level's. Frames
            whose code differs at an earlier level are left out there, for they quantise another residual.
        samples: the largest difference of what both decode from the package's codes, as a share of the largest value.
        entries: the least number of entries that are used at a level.
    """

    codes: Comparison
    latents: float
    samples: float
    entries: int


def package_of(both: Pair) -> Any:
    """The package's model with the weights of a pair, float32."""
    path = both.folder / "package.safetensors"
    save_file(NAMES[both.name](both.model), path)
    return MODELS[both.name](both.model.config, path)


def apart(theirs: Any, ours: Codec, judge: Codec, pcm: np.ndarray[Any, Any], name: str) -> Apart:
    """Compare a package's model with ours.

    Args:
        theirs: the package's, float32 or float64.
        ours: the same weights.
        judge: ours, float64.
        pcm: ``[samples]``, float32.
        name: the family.

    Raises:
        ValueError: they give other numbers of frames, or samples of one.
    """
    codes, wanted_latents = encoded(theirs, torch.from_numpy(pcm).to(next(theirs.parameters()).dtype))
    found, latents = ours.encode(pcm, tail=TAILS[name], return_latents=True)
    if found.shape != codes.shape:
        raise ValueError(f"{len(pcm)} samples: the package gives codes {codes.shape}, ours {found.shape}")
    decisive = judge.encode(pcm, tail=TAILS[name], return_latents=True)[1] if (found != codes).any() else latents
    pcm_theirs, pcm_ours = decoded(theirs, codes), ours.decode(codes)
    if pcm_theirs.shape != pcm_ours.shape:
        raise ValueError(f"{codes.shape[1]} frames: the package decodes {pcm_theirs.shape}, ours {pcm_ours.shape}")
    return Apart(
        compare(found, codes, decisive, judge.codebooks, Distance.EUCLIDEAN),
        _apart(latents.reshape(wanted_latents.shape), wanted_latents, found == codes),
        float(np.abs(pcm_theirs - pcm_ours).max() / np.abs(pcm_theirs).max()),
        min(len(np.unique(level)) for level in codes),
    )


def _apart(latents: Any, wanted: Any, same: Any) -> float:
    worst = 0.0
    for level in range(len(wanted)):
        frames = same[:level].all(axis=0)
        if frames.any():
            difference = np.abs(latents[level] - wanted[level])[:, frames].max()
            worst = max(worst, float(difference / np.abs(wanted[level]).max()))
    return worst
