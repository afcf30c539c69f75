"""The encoder: samples to latents, hop_length samples to a frame.

Knows: the nesting of DAC's encoder modules, which gives the state dict its keys. Each module takes its convolutions
from the encoder's plan, in order. Does not know: padding (geometry), the quantiser, streaming.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from ..config import CodecConfig
from ..families.dac import DILATIONS, encoder_plan
from ..geometry import Layer
from .layers import ResidualUnit, Snake1d, WNConv1d


class EncoderBlock(nn.Module):
    """Three residual units (dilations 1, 3, 9), Snake, strided conv. Shape: ``[B, C, T]`` → ``[B, 2C, T/stride]``."""

    def __init__(self, convs: Iterator[Layer], weight_norm: bool) -> None:
        super().__init__()
        units = [ResidualUnit(next(convs), next(convs), weight_norm) for _ in DILATIONS]
        down = next(convs)
        self.block = nn.Sequential(
            *units,
            Snake1d(down.cin),
            WNConv1d(down, weight_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class Encoder(nn.Module):
    """Conv 7 or stem, one block for each stride, Snake, conv 3.

    Shape: ``[B, 1, samples]`` → ``[B, latent_dim, frames]``, float.

    The number of frames is ``families.encoder_plan(config).outputs(samples)``: each layer rounds down.
    """

    def __init__(self, config: CodecConfig, weight_norm: bool = True) -> None:
        super().__init__()
        convs = (layer for layer in encoder_plan(config).layers if layer.tensors is not None)
        first = WNConv1d(next(convs), weight_norm)
        blocks = [EncoderBlock(convs, weight_norm) for _ in config.encoder_rates]
        last = next(convs)
        self.block = nn.Sequential(
            first,
            *blocks,
            Snake1d(last.cin),
            WNConv1d(last, weight_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y
