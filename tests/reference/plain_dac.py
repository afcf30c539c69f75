"""A plain DAC: padded, whole-signal, functional. What every other test compares with.

Written from the DAC paper (Kumar et al. 2023) and the published architecture, on its own: nothing of streamrvq is
imported, least of all its geometry, so that a mistake there cannot hide here. Slow and short on purpose.

Knows: the network on a whole signal, causal or symmetric, in float32 or float64. Does not know: streaming.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class Encoded(NamedTuple):
    """What the encoder gives for ``[B, samples]``: torch tensors."""

    z: Tensor  #: [B, latent_dim, T], before the quantiser
    latents: Tensor  #: [B, K·codebook_dim, T], each level's projection
    codes: Tensor  #: [B, K, T] int64
    gap: Tensor  #: [B, K, T], cosine of the nearest entry less that of the second nearest: small at a near-tie


class PlainDAC:
    """A DAC of folded weights.

    Args:
        tensors: numpy arrays under DAC's state-dict names, weight norm folded away.
        config: anything with the attributes of ``dac.DAC``'s keywords, and ``causal``, ``output_padding``, ``stem``.
        dtype: torch.float32 or torch.float64.
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray[Any, Any]], config: Any, dtype: torch.dtype = torch.float64
    ) -> None:
        self.w = {name: torch.tensor(value, dtype=dtype) for name, value in tensors.items()}
        self.config, self.dtype = config, dtype

    # --- layers

    def snake(self, x: Tensor, name: str) -> Tensor:
        alpha = self.w[f"{name}.alpha"]
        return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)

    def conv(self, x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        kernel = weight.shape[-1]
        if self.config.causal:
            pads = (dilation * (kernel - 1) + 1 - stride, 0)
        elif kernel == 2 * stride:  # the downsampling convolutions
            pads = (math.ceil(stride / 2), math.ceil(stride / 2))
        else:
            pads = (dilation * (kernel - 1) // 2, dilation * (kernel - 1) // 2)
        x = F.pad(x, pads)
        if x.shape[-1] < dilation * (kernel - 1) + 1:
            return x.new_zeros(x.shape[0], weight.shape[0], 0)
        return F.conv1d(x, weight, bias, stride=stride, dilation=dilation)

    def upsample(self, x: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = self.w[f"{name}.weight"], self.w[f"{name}.bias"]
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], weight.shape[1], 0)
        if self.config.causal:
            return F.conv_transpose1d(x, weight, bias, stride=stride)[..., :-stride]
        extra = stride % 2 if self.config.output_padding else 0
        if stride == 1 and x.shape[-1] == 1 and not extra:
            return x.new_zeros(x.shape[0], weight.shape[1], 0)
        return F.conv_transpose1d(x, weight, bias, stride=stride, padding=math.ceil(stride / 2), output_padding=extra)

    def residual(self, x: Tensor, name: str, dilation: int) -> Tensor:
        y = self.conv(self.snake(x, f"{name}.block.0"), f"{name}.block.1", dilation=dilation)
        return x + self.conv(self.snake(y, f"{name}.block.2"), f"{name}.block.3")

    # --- the two networks

    def encoder(self, x: Tensor) -> Tensor:
        x = self.conv(x, "encoder.block.0", stride=self.config.stem)
        n = 1
        for n, stride in enumerate(self.config.encoder_rates, 1):
            for j, dilation in enumerate((1, 3, 9)):
                x = self.residual(x, f"encoder.block.{n}.block.{j}", dilation)
            x = self.conv(self.snake(x, f"encoder.block.{n}.block.3"), f"encoder.block.{n}.block.4", stride=stride)
        return self.conv(self.snake(x, f"encoder.block.{n + 1}"), f"encoder.block.{n + 2}")

    def decoder(self, x: Tensor) -> Tensor:
        x = self.conv(x, "decoder.model.0")
        n = 1
        for n, stride in enumerate(self.config.decoder_rates, 1):
            x = self.upsample(self.snake(x, f"decoder.model.{n}.block.0"), f"decoder.model.{n}.block.1", stride)
            for j, dilation in enumerate((1, 3, 9)):
                x = self.residual(x, f"decoder.model.{n}.block.{j + 2}", dilation)
        x, last = self.snake(x, f"decoder.model.{n + 1}"), f"decoder.model.{n + 2}"
        return torch.tanh(self.conv(x, last) if self.config.stem == 1 else self.upsample(x, last, self.config.stem))

    def project(self, x: Tensor, name: str) -> Tensor:
        return torch.einsum("oc,bct->bot", self.w[f"{name}.weight"][..., 0], x) + self.w[f"{name}.bias"][:, None]

    def quantize(self, z: Tensor, levels: int) -> tuple[Tensor, Tensor, Tensor]:
        """``(latents, codes, gap)`` of ``z``."""
        latents, codes, gaps = [], [], []
        residual = z
        for i in range(levels):
            q = f"quantizer.quantizers.{i}"
            e = self.project(residual, f"{q}.in_proj")
            book = self.w[f"{q}.codebook.weight"]
            cosine = torch.einsum("bdt,nd->btn", F.normalize(e, dim=1), F.normalize(book, dim=1))
            index = cosine.argmax(-1)  # the first of equals
            top = cosine.topk(min(2, book.shape[0]), -1).values
            gaps.append(top[..., 0] - top[..., -1])
            residual = residual - self.project(book[index].transpose(1, 2), f"{q}.out_proj")
            latents.append(e)
            codes.append(index)
        return torch.cat(latents, 1), torch.stack(codes, 1), torch.stack(gaps, 1)

    # --- the front

    @torch.no_grad()
    def encode(self, pcm: Any, n_quantizers: int | None = None, pad: bool = False) -> Encoded:
        """Encodes ``pcm [B, samples]`` or ``[samples]`` as one batch; ``pad`` fills the last hop with zeros first."""
        x = _tensor(pcm).to(self.dtype)
        x = x[None, None] if x.ndim == 1 else x[:, None]
        if pad:
            x = F.pad(x, (0, -x.shape[-1] % (self.config.stem * math.prod(self.config.encoder_rates))))
        z = self.encoder(x)
        return Encoded(z, *self.quantize(z, n_quantizers or self.config.n_codebooks))

    @torch.no_grad()
    def dequantize(self, codes: Any) -> Tensor:
        """Quantised latents ``[B, latent_dim, T]`` of ``codes [B, K, T]`` or ``[K, T]``, any K up to all."""
        c = _tensor(codes).to(torch.int64)
        c = c[None] if c.ndim == 2 else c
        z = torch.zeros(c.shape[0], self.w["decoder.model.0.weight"].shape[1], c.shape[2], dtype=self.dtype)
        for i in range(c.shape[1]):
            q = f"quantizer.quantizers.{i}"
            entry = self.w[f"{q}.codebook.weight"][c[:, i]].transpose(1, 2)
            z = z + self.project(entry, f"{q}.out_proj")
        return z

    @torch.no_grad()
    def decode(self, codes: Any) -> Tensor:
        """Audio ``[B, samples]`` of ``codes [B, K, T]`` or ``[K, T]``."""
        return self.decoder(self.dequantize(codes))[:, 0]


def _tensor(value: Any) -> Tensor:
    """A tensor of anything array-like; numpy's are copied, for torch warns of read-only ones."""
    return value if isinstance(value, Tensor) else torch.tensor(np.asarray(value))


def first_differences(ours: Any, plain: Encoded) -> np.ndarray[Any, Any]:
    """The gaps at which codes differ for the first time in their frame, all others being consequences.

    Args:
        ours: codes ``[B, K, T]``.
        plain: the reference, whose first K levels are compared, in float64 for the gaps to mean anything.

    Returns:
        One float64 a frame that differs: near 0 is a near-tie.
    """
    codes = np.asarray(ours)
    codes = codes[None] if codes.ndim == 2 else codes
    wanted = plain.codes.numpy()[:, : codes.shape[1]]
    assert codes.shape == wanted.shape, (codes.shape, wanted.shape)
    differs = codes != wanted
    level = differs.argmax(1)[:, None]
    gap = np.take_along_axis(plain.gap.numpy()[:, : codes.shape[1]], level, 1)[:, 0]
    found: np.ndarray[Any, Any] = gap[differs.any(1)]
    return found
