"""The package's own encoder and decoder, computed in the way that trains fastest on a CPU.

It uses the parameters of the modules of `nn` and gives their results; tests compare the two. Activations are
time-major: a convolution is two-dimensional with one dimension of size 1, in "channels last". torch is fast at that.
bfloat16 is used if it is asked for. Weight norm is folded once for each pass.

Knows: the modules of `nn`, and which layout and precision torch prefers. Does not know: losses, data, quantisers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import Decoder, Encoder, ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
from ..nn.decoder import DecoderBlock
from ..nn.encoder import EncoderBlock
from .snake import snake


def run_encoder(encoder: Encoder, pcm: Tensor, dtype: torch.dtype) -> Tensor:
    """``encoder(pcm)``, computed in ``dtype``: pcm ``[B, 1, T]`` → float32 ``[B, latent_dim, frames]``."""
    return _sequence(encoder.block, pcm.transpose(1, 2).to(dtype)).transpose(1, 2).float()


def run_decoder(decoder: Decoder, z: Tensor, dtype: torch.dtype) -> Tensor:
    """``decoder(z)``, computed in ``dtype``: ``[B, latent_dim, frames]`` → float32 ``[B, 1, T]``. tanh uses float32."""
    modules = [module for module in decoder.model if not isinstance(module, nn.Tanh)]
    y = _sequence(modules, z.transpose(1, 2).to(dtype)).transpose(1, 2)
    return torch.tanh(y.float())


def _sequence(modules: nn.Sequential | list[nn.Module], x: Tensor) -> Tensor:
    """Run ``modules`` on x ``[B, T, C]``, contiguous. A Snake writes the padding of the convolution that follows it."""
    waiting: Snake1d | None = None
    for module in modules:
        if isinstance(module, Snake1d):
            waiting = module
        elif isinstance(module, (EncoderBlock, DecoderBlock)):
            x = _sequence(module.block, x)
        elif isinstance(module, ResidualUnit):
            x = x + _sequence(module.block, x)
        elif isinstance(module, WNConv1d):
            left = module.layer.padding
            if waiting is not None:
                x = snake(x, waiting.alpha, left)
            elif left:
                x = F.pad(x, (0, 0, left, 0))
            x, waiting = _convolve(module, x), None
        elif isinstance(module, WNConvTranspose1d):
            if waiting is not None:
                x = snake(x, waiting.alpha)
            x, waiting = _upsample(module, x), None
        else:
            raise TypeError(f"{type(module).__name__} is not a module of a codec; wanted those of streamrvq.nn")
    return x


def _convolve(module: WNConv1d, x: Tensor) -> Tensor:
    """x ``[B, padding + T, cin]`` → ``[B, T', cout]``."""
    layer = module.layer
    if layer.right:
        x = F.pad(x, (0, 0, 0, layer.right))
    weight, bias = module.folded().to(x.dtype), module.bias.to(x.dtype)
    if layer.kernel == 1:
        return F.linear(x, weight[:, :, 0], bias)
    if layer.cin == 1:  # windows of samples times a matrix
        return F.linear(x[..., 0].unfold(1, layer.kernel, layer.stride), weight[:, 0], bias)
    image = x.transpose(1, 2).unsqueeze(2)  # [B, C, 1, T] in "channels last", without a copy
    image = torch.conv2d(image, weight.unsqueeze(2), bias, (1, layer.stride), 0, (1, layer.dilation))
    return image.squeeze(2).transpose(1, 2).contiguous()


def _upsample(module: WNConvTranspose1d, x: Tensor) -> Tensor:
    """x ``[B, T, cin]`` → ``[B, T·stride, cout]``: each input contributes to 2·stride outputs."""
    layer = module.layer
    rows, time, _ = x.shape
    s, cout = layer.stride, layer.cout
    weight = module.folded().to(x.dtype).permute(0, 2, 1).reshape(layer.cin, 2 * s * cout)  # [cin, (tap, cout)]
    taps = (x.reshape(rows * time, layer.cin) @ weight).view(rows, time, 2, s * cout)
    y = F.pad(taps[:, :, 0], (0, 0, 0, 1)) + F.pad(taps[:, :, 1], (0, 0, 1, 0))  # [B, T + 1, s·cout]
    y = y.view(rows, (time + 1) * s, cout) + module.bias.to(x.dtype)
    return y[:, layer.padding : layer.padding + layer.out_length(time)].contiguous()
