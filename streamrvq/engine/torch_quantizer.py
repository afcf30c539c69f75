"""Quantisers on torch: latents to codes and back.

Knows: chains of levels, projections, cosines and Euclidean distances. Does not know: layers, states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ..geometry import Distance, Level, Quantizer


class TorchQuantizer:
    """A quantiser with its weights.

    Args:
        quantizer: its levels.
        tensors: under the names that it gives.
        dtype: float32 or float64.
    """

    def __init__(
        self, quantizer: Quantizer, tensors: Mapping[str, npt.NDArray[np.float32]], dtype: np.dtype[Any]
    ) -> None:
        self.quantizer = quantizer
        self._weights: dict[str, torch.Tensor] = {}  # projections of one tap as matrices
        #: By the codebook's name: entries of length 1, or as they are; and half their squares, or None.
        self._entries: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
        for name in quantizer.tensor_names:
            value = torch.tensor(np.ascontiguousarray(tensors[name], dtype))
            self._weights[name] = value[:, :, 0] if value.ndim == 3 else value
        for level in quantizer.levels:
            entries = self._weights[level.codebook]
            if quantizer.distance == Distance.COSINE:
                self._entries[level.codebook] = F.normalize(entries), None
            else:
                self._entries[level.codebook] = entries, entries.square().sum(1) / 2

    def quantize(self, z: torch.Tensor, levels: int, latents: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """z ``[B, k, D]`` → codes ``[B, levels, k]``, and latents if asked for, ``[B, levels · codebook_dim, k]``."""
        rows, frames, _ = z.shape
        codes, inner = [], []
        for chain, names in self.quantizer.runs(levels):
            residual = self._linear(z.reshape(rows * frames, -1), chain.in_weight)
            for i, level in enumerate(names, 1):
                e = self._linear(residual, level.in_weight, level.in_bias)
                index = self._nearest(e, level)
                if i < len(names):
                    residual = residual - self._entry(level, index)
                codes.append(index.view(rows, frames))
                if latents:
                    inner.append(e.view(rows, frames, -1).transpose(1, 2))
        return torch.stack(codes, dim=1), torch.cat(inner, dim=1).contiguous() if latents else None

    def _nearest(self, e: torch.Tensor, level: Level) -> torch.Tensor:
        """The nearest entry's index; argmax gives the lowest on ties.

        DAC takes the least Euclidean distance of unit vectors, which is the greatest cosine: ``|e − c|² = 2 − 2 e·c``.
        And of any vectors the least of ``|e − c|²`` is the greatest of ``e·c − |c|²/2``.
        """
        entries, half_squares = self._entries[level.codebook]
        if half_squares is None:
            return torch.argmax(F.normalize(e) @ entries.T, dim=1)
        return torch.argmax(torch.addmm(half_squares, e, entries.T, beta=-1), dim=1)

    def _linear(self, x: torch.Tensor, weight: str | None, bias: str | None = None) -> torch.Tensor:
        if weight is None:
            return x
        return F.linear(x, self._weights[weight], None if bias is None else self._weights[bias])

    def _entry(self, level: Level, index: torch.Tensor) -> torch.Tensor:
        """Entries ``[N, C]`` of a chain's latent."""
        return self._linear(self._weights[level.codebook][index], level.out_weight, level.out_bias)

    def embed(self, codes: torch.Tensor) -> torch.Tensor:
        """codes ``[B, K, k]`` → z ``[B, k, D]``, level by level in order; a missing level (−1) adds nothing."""
        rows, levels, frames = codes.shape
        first = self._weights[self.quantizer.levels[0].codebook]
        z, k = first.new_zeros(rows * frames, self.quantizer.latent_channels), 0
        for chain, names in self.quantizer.runs(levels):
            total = z if chain.out_weight is None else z.new_zeros(rows * frames, chain.channels)
            for level in names:
                index = codes[:, k].reshape(-1)
                entry = self._entry(level, index.clamp(min=0))
                total = total + entry.masked_fill((index < 0)[:, None], 0)
                k += 1
            z = total if chain.out_weight is None else z + self._linear(total, chain.out_weight)
        return z.view(rows, frames, -1)
