"""CodecModel: encoder, quantiser and decoder as one torch module, with the interface of ``dac.DAC``.

Knows: whole signals, DAC's state-dict keys, the way from and to `Weights`. Does not know: streaming, files, training.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import CodecConfig
from ..errors import InputError, WeightsError
from ..families import tensor_shapes
from ..weights import Weights
from ..weights.value import codec_config
from .decoder import Decoder
from .encoder import Encoder
from .layers import WNConv1d
from .quantize import ResidualVectorQuantize

#: z, codes, latents, commitment loss, codebook loss
Encoded: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class CodecModel(nn.Module):
    """A whole codec, offline. With the same torch seed it has the same first values as ``dac.DAC``.

    (DAC intends to draw its convolutions from a truncated normal, but with weight norm that has no effect. torch's own
    first values stay, and the biases of the plain convolutions are 0. This class does the same.)

    Args:
        config: the codec.
        weight_norm: True for training: parameters ``weight_g`` and ``weight_v`` as in DAC. False: a folded ``weight``,
            to compare with engines bit by bit. ``load_state_dict`` accepts either style, and that of torch's
            parametrization, in both cases.
    """

    def __init__(self, config: CodecConfig, weight_norm: bool = True) -> None:
        super().__init__()
        tensor_shapes(config)  # refuses a codec that is too large before anything is allocated
        self.config = config
        self.sample_rate, self.hop_length = config.sample_rate, config.hop_length
        self.encoder = Encoder(config, weight_norm)
        self.quantizer = ResidualVectorQuantize(config.latent_channels, config.n_codebooks, config.codebook_size,
                                                config.codebook_dim, config.quantizer_dropout, weight_norm)  # fmt: skip
        self.decoder = Decoder(config, weight_norm)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, WNConv1d):
                    module.bias.zero_()

    @classmethod
    def from_weights(cls, weights: Weights, weight_norm: bool = False) -> CodecModel:
        """The module of ``weights``, in evaluation mode, float32, on the CPU. Another family: `WeightsError`."""
        with torch.device("cpu"), torch.inference_mode(False):  # whatever a program has set, also its default dtype
            model = cls(codec_config(weights), weight_norm).float()
        model.load_state_dict({name: torch.tensor(value, device="cpu") for name, value in weights.tensors.items()})
        return model.eval()

    def to_weights(self, name: str, trained: bool) -> Weights:
        """The folded parameters, as a `Weights`. Raises `WeightsError` for parameters that are not finite, or on
        ``meta``."""
        state = self.state_dict()
        if any(value.is_meta for value in state.values()):
            raise WeightsError(
                "this CodecModel is on device meta and has no values; wanted parameters: load them first"
            )
        half = torch.bfloat16  # which numpy lacks; float32 holds it exactly
        tensors = {
            key: (value.float() if value.dtype == half else value).detach().cpu().numpy()
            for key, value in state.items()
        }
        return Weights.from_tensors(self.config, tensors, name=name, trained=trained, source="this CodecModel")

    def preprocess(self, audio_data: Tensor, sample_rate: int | None = None) -> Tensor:
        """Pad ``[B, 1, T]`` with zeros on the right to whole hops. Raises `InputError` for another sample rate."""
        if sample_rate is not None and sample_rate != self.sample_rate:
            raise InputError(f"audio is at {sample_rate} Hz; this codec wants {self.sample_rate} Hz: resample it first")
        return F.pad(audio_data, (0, -audio_data.shape[-1] % self.hop_length))

    def encode(self, audio_data: Tensor, n_quantizers: int | None = None) -> Encoded:
        """Encode ``[B, 1, T]`` as it is (see `preprocess`).

        Returns:
            ``(z [B, latent_dim, frames], codes [B, N, frames] int64, latents [B, N·codebook_dim, frames],
            commitment_loss [], codebook_loss [])``, as `ResidualVectorQuantize.forward` explains.

        Raises:
            InputError: audio of another shape, or ``n_quantizers`` below 1.
        """
        if audio_data.ndim != 3 or audio_data.shape[1] != 1:
            raise InputError(f"audio has shape {list(audio_data.shape)}; wanted [B, 1, samples]")
        quantized: Encoded = self.quantizer(self.encoder(audio_data), n_quantizers)
        return quantized

    def decode(self, z: Tensor) -> Tensor:
        """Decode quantised latents ``[B, latent_dim, frames]`` to audio ``[B, 1, samples]`` in (−1, 1)."""
        audio: Tensor = self.decoder(z)
        return audio

    def forward(
        self, audio_data: Tensor, sample_rate: int | None = None, n_quantizers: int | None = None
    ) -> dict[str, Tensor]:
        """Pad, encode and decode ``[B, 1, T]``.

        Returns:
            ``audio [B, 1, ≤ T]``, ``z``, ``codes``, ``latents``, ``vq/commitment_loss``, ``vq/codebook_loss``: DAC's
            keys.
        """
        length = audio_data.shape[-1]
        z, codes, latents, commitment, codebook = self.encode(self.preprocess(audio_data, sample_rate), n_quantizers)
        return {
            "audio": self.decode(z)[..., :length],
            "z": z,
            "codes": codes,
            "latents": latents,
            "vq/commitment_loss": commitment,
            "vq/codebook_loss": codebook,
        }
