"""The encoder: samples to latents, hop_length samples a frame.

Knows: the order of DAC's encoder modules. Does not know: padding (geometry), the quantiser, streaming.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..config import CodecConfig
from ..geometry import Layer, encoder_plan
from .layers import ResidualUnit, Snake1d, WNConv1d


class EncoderBlock(nn.Module):
    """Three residual units (dilations 1, 3, 9), Snake, strided conv. Shape: ``[B, C, T]`` → ``[B, 2C, T/stride]``."""

    def __init__(self, name: str, layers: dict[str, Layer], weight_norm: bool) -> None:
        super().__init__()
        down = layers[f"{name}.block.4"]
        self.block = nn.Sequential(
            *[ResidualUnit(f"{name}.block.{j}", layers, weight_norm) for j in range(3)],
            Snake1d(down.cin),
            WNConv1d(down, weight_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class Encoder(nn.Module):
    """Conv 7 or stem, one block a stride, Snake, conv 3.

    Shape: ``[B, 1, samples]`` → ``[B, latent_dim, frames]``, float.

    The frame count is ``geometry.encoder_plan(config).outputs(samples)``: each layer floors.
    """

    def __init__(self, config: CodecConfig, weight_norm: bool = True) -> None:
        super().__init__()
        layers = {layer.name: layer for layer in encoder_plan(config).layers if layer.weights}
        depth = len(config.encoder_rates)
        last = layers[f"encoder.block.{depth + 2}"]
        self.block = nn.Sequential(
            WNConv1d(layers["encoder.block.0"], weight_norm),
            *[EncoderBlock(f"encoder.block.{i}", layers, weight_norm) for i in range(1, depth + 1)],
            Snake1d(last.cin),
            WNConv1d(last, weight_norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y
