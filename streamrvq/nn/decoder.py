"""The decoder: quantised latents to samples, hop_length samples a frame.

Knows: the order of DAC's decoder modules. Does not know: padding (geometry), codes, streaming.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..config import CodecConfig
from ..geometry import Layer, decoder_plan
from .layers import ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d


class DecoderBlock(nn.Module):
    """Snake, transposed conv, three residual units. Shape: ``[B, C, T]`` → ``[B, C/2, stride·T]``."""

    def __init__(self, name: str, layers: dict[str, Layer], weight_norm: bool) -> None:
        super().__init__()
        up = layers[f"{name}.block.1"]
        self.block = nn.Sequential(
            Snake1d(up.cin),
            WNConvTranspose1d(up, weight_norm),
            *[ResidualUnit(f"{name}.block.{j}", layers, weight_norm) for j in range(2, 5)],
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class Decoder(nn.Module):
    """Conv 7, one block a stride, Snake, conv 7 (or the stem's mirror), tanh.

    Shape: ``[B, latent_dim, frames]`` → ``[B, 1, samples]``, float.

    Without ``output_padding`` a symmetric decoder is short of ``frames·hop_length`` at odd strides, as the released one
    is.
    """

    def __init__(self, config: CodecConfig, weight_norm: bool = True) -> None:
        super().__init__()
        layers = {layer.name: layer for layer in decoder_plan(config).layers if layer.weights}
        depth = len(config.decoder_rates)
        last = layers[f"decoder.model.{depth + 2}"]
        self.model = nn.Sequential(
            WNConv1d(layers["decoder.model.0"], weight_norm),
            *[DecoderBlock(f"decoder.model.{i}", layers, weight_norm) for i in range(1, depth + 1)],
            Snake1d(last.cin),
            (WNConv1d if last.kind == "conv" else WNConvTranspose1d)(last, weight_norm),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y
