"""Crops cut and augmented on a GPU from a corpus that lies there as int16.

Knows: the arithmetic of `data.Crops.cut`, for a whole batch at once. Does not know: how plans are drawn or arrive.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ..data import LOUDEST, MARGIN, Crops, equaliser_axis
from ..steps.plan import NODES
from .inputs import Inputs

_PIECE = 1 << 26  #: samples that are copied at once
_LEFT = 0.5  #: share of the free memory that the corpus may take


class DeviceCrops:
    """Cuts the batches of ``crops`` on ``device``.

    Raises:
        ConfigError: the corpus takes more than half of the GPU's free memory.
    """

    def __init__(self, crops: Crops, device: torch.device) -> None:
        samples, self._samples = crops.corpus.samples, crops.samples
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if 2 * len(samples) > _LEFT * free:
                raise ConfigError(
                    f"the decoded corpus has {2 * len(samples) / 1e9:.1f} GB and the GPU {free / 1e9:.1f} GB free; "
                    "wanted a corpus of at most half of that: train on fewer files, or with --device cpu"
                )
        self.corpus = torch.empty(len(samples), dtype=torch.int16, device=device)
        for start in range(0, len(samples), _PIECE):
            piece = np.array(samples[start : start + _PIECE])  # of a file that is read as it is used
            self.corpus[start : start + len(piece)] = torch.from_numpy(piece).to(device)
        self._position = torch.arange(crops.window, device=device)
        octaves, places = equaliser_axis(crops.window)
        # The gain in dB is linear in the nodes.
        shapes = np.stack([np.interp(octaves, places, node) for node in np.eye(NODES)])
        self._shapes = torch.from_numpy(shapes).float().to(device)

    def __call__(self, inputs: Inputs) -> Tensor:
        """The crops: float32 ``[B, samples]``, within [−1, 1]."""
        index = (inputs.at[..., None] + self._position).clamp_(0, len(self.corpus) - 1)
        outside = (self._position < inputs.first[..., None]) | (self._position >= inputs.last[..., None])
        pieces = self.corpus[index].float().masked_fill_(outside, 0.0) / 32768
        pcm = pieces[:, 0] + pieces[:, 1] * inputs.mix[:, None]
        gain = (inputs.nodes @ self._shapes * (math.log(10) / 20)).exp()
        tilted = torch.fft.irfft(torch.fft.rfft(pcm) * gain, pcm.shape[1])
        pcm = torch.where(inputs.tilted[:, None] > 0, tilted, pcm)[:, MARGIN : MARGIN + self._samples]
        most = LOUDEST / pcm.abs().amax(1).clamp(min=1e-9)
        return pcm * inputs.gain.clamp(-most, most)[:, None]
