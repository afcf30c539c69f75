"""The decoder: quantised latents to samples, hop_length samples from a frame.

Knows: the nesting of DAC's decoder modules, which gives the state dict its keys. Each module takes its convolutions
from the decoder's plan, in order. Does not know: padding (geometry), codes, streaming.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from ..config import CodecConfig
from ..families.dac import DILATIONS, decoder_plan
from ..geometry import Layer, LayerKind
from .layers import ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d


class DecoderBlock(nn.Module):
    """Snake, transposed conv, three residual units. Shape: ``[B, C, T]`` → ``[B, C/2, stride·T]``."""

    def __init__(self, convs: Iterator[Layer], weight_norm: bool) -> None:
        super().__init__()
        up = next(convs)
        self.block = nn.Sequential(
            Snake1d(up.cin),
            WNConvTranspose1d(up, weight_norm),
            *[ResidualUnit(next(convs), next(convs), weight_norm) for _ in DILATIONS],
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class Decoder(nn.Module):
    """Conv 7, one block for each stride, Snake, conv 7 (or the inverse of the stem), tanh.

    Shape: ``[B, latent_dim, frames]`` → ``[B, 1, samples]``, float.

    Without ``output_padding`` a symmetric decoder with odd strides gives fewer than ``frames·hop_length`` samples, like
    the released one.
    """

    def __init__(self, config: CodecConfig, weight_norm: bool = True) -> None:
        super().__init__()
        convs = (layer for layer in decoder_plan(config).layers if layer.tensors is not None)
        first = WNConv1d(next(convs), weight_norm)
        blocks = [DecoderBlock(convs, weight_norm) for _ in config.decoder_rates]
        last = next(convs)
        self.model = nn.Sequential(
            first,
            *blocks,
            Snake1d(last.cin),
            (WNConv1d if last.kind == LayerKind.CONV else WNConvTranspose1d)(last, weight_norm),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y
