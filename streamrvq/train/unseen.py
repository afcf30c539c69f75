"""What a run makes from crops that no step trains on: first values, codebooks, and how often entries are used.

This takes seconds to minutes. It reports its progress, and the listener may stop it by raising an exception. Nothing
has changed then: what is made is given back at the end.

Knows: which crops, and how many; how a model is made from weights. Does not know: when any of it is made, or what
becomes of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import WeightsError
from ..nn import CodecModel, ResidualVectorQuantize
from ..weights import Weights
from .codebooks import make_codebooks
from .config import TrainConfig
from .data import Crops
from .fast import run_encoder
from .runs.began import check_codec
from .start import set_first_values

#: Called with what is being made, the frames that it is made from, and the share that is done.
Watch = Callable[[str, int, float], None]

_FIRST = 1 << 40  #: the number of the first batch; no run has so many steps


def _unwatched(what: str, frames: int, share: float) -> None: ...


class Unseen:
    """Crops that no step trains on.

    Args:
        config: of the run.
        crops: that draws them.
        dtype: of the encoder's convolutions.

    Attributes:
        frames: how many are used, in whole batches.
        watch: see `Watch`.
    """

    def __init__(self, config: TrainConfig, crops: Crops, dtype: torch.dtype) -> None:
        self._config, self._crops, self._dtype = config, crops, dtype
        self.frames = config.codebook_frames
        self.watch: Watch = _unwatched

    def first_values(self) -> CodecModel:
        """A new model on the CPU, from torch's own random numbers (see start.py)."""
        model = CodecModel(self._config.codec, weight_norm=False)
        pcm = torch.cat(list(self._batches("first values", 0.5)))
        set_first_values(model, pcm, self._second_half("first values"))
        return model

    @torch.no_grad()
    def codebooks(self, model: CodecModel) -> tuple[ResidualVectorQuantize, list[Tensor]]:
        """A quantiser on the CPU with new codebooks for what ``model`` encodes, and the shares of their entries.

        Raises `WeightsError` if latents are not finite.
        """
        latents = self._latents(model, "codebooks", 0.5)
        z = torch.cat([z.transpose(1, 2).reshape(-1, z.shape[1]).cpu() for z in latents])
        if not bool(torch.isfinite(z).all()):
            raise WeightsError("what the encoder gives is not finite; wanted latents to make codebooks from: lower lr")
        quantizer = copy.deepcopy(model.quantizer).cpu()
        generator = torch.Generator().manual_seed(self._config.seed)
        return quantizer, make_codebooks(quantizer, z, generator, self._config.pole, self._second_half("codebooks"))

    def _second_half(self, what: str) -> Callable[[float], None]:
        return lambda share: self.watch(what, self.frames, 0.5 + 0.5 * share)

    @torch.no_grad()
    def shares(self, model: CodecModel) -> list[Tensor]:
        """How often each entry of the codebooks of ``model`` is used: ``[codebook_size]`` for each level."""
        latents = self._latents(model, "counts of the used entries", 1.0)
        codes = torch.cat([model.quantizer(z)[1].transpose(0, 1).flatten(1) for z in latents], 1)
        size = self._config.codec.codebook_size
        return [torch.bincount(level, minlength=size).float() / level.numel() for level in codes]

    def _batches(self, what: str, part: float) -> Iterator[Tensor]:
        """Batches ``[B, samples]`` with at least `frames` frames in all, the first ``part`` of making ``what``."""
        count = -(-self.frames // (self._config.batch * self._config.frames))
        for i in range(count):
            self.watch(what, self.frames, part * i / count)
            yield torch.from_numpy(self._crops.batch(_FIRST + i))
        self.watch(what, self.frames, part)

    def _latents(self, model: CodecModel, what: str, part: float) -> Iterator[Tensor]:
        """The latents ``[B, D, frames]`` of `_batches`."""
        model.eval()
        device = next(model.parameters()).device
        for x in self._batches(what, part):
            yield run_encoder(model.encoder, x.to(device)[:, None], self._dtype)


def model_of(weights: Weights, config: TrainConfig) -> CodecModel:
    """A model on the CPU with ``weights``, to go on from. Raises `WeightsError` if they belong to another codec."""
    check_codec(weights, config)
    model = CodecModel.from_weights(weights)
    model.quantizer.quantizer_dropout = config.codec.quantizer_dropout
    return model
