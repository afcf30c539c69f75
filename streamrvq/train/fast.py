"""The package's own encoder and decoder, computed in the way that trains fastest.

It uses the parameters of the modules of `nn` and gives their results; tests compare the two. Activations are
time-major: a convolution is two-dimensional with one dimension of size 1, in "channels last". torch is fast at that.
bfloat16 is used if it is asked for. Weight norm is folded once for each pass. On a GPU, causal layers of all kinds are
one function (device/convolution.py): with a stride of s they are convolutions of two taps, whose rows are s samples.

Knows: the modules of `nn`, and which layout and precision torch prefers. Does not know: losses, data, quantisers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn import Decoder, Encoder, ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
from ..nn.decoder import DecoderBlock
from ..nn.encoder import EncoderBlock
from .device.convolution import Causal, Unit, usable
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
            x = _unit(module, x)
        elif isinstance(module, (WNConv1d, WNConvTranspose1d)) and (y := _on_gpu(module, x, waiting)) is not None:
            x, waiting = y, None
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


def _unit(module: ResidualUnit, x: Tensor) -> Tensor:
    kernels = usable(x)
    first, wide, second, narrow = module.block
    assert isinstance(wide, WNConv1d) and isinstance(narrow, WNConv1d)
    if kernels is None or not _is_causal(wide, x.shape[1]) or not _is_causal(narrow, x.shape[1]):
        return x + _sequence(module.block, x)
    y: Tensor = Unit.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), first.alpha, wide.folded().transpose(1, 2), wide.bias, second.alpha,
        narrow.folded().transpose(1, 2), narrow.bias, wide.layer.dilation, kernels,
    )  # fmt: skip
    return y


def _on_gpu(module: WNConv1d | WNConvTranspose1d, x: Tensor, before: Snake1d | None) -> Tensor | None:
    """``module`` after Snake, on a GPU; None: it is not causal, or not on one."""
    kernels, layer, (rows, time, _) = usable(x), module.layer, x.shape
    if kernels is None or not _is_causal(module, time):
        return None
    weight, stride, s = module.folded(), layer.stride, layer.stride
    bias: Tensor = module.bias
    if isinstance(module, WNConvTranspose1d):  # two taps, the older one first, of [cout] for each of s samples
        weight = weight.view(layer.cin, layer.cout, 2, s).flip(2).permute(3, 1, 2, 0).reshape(-1, 2, layer.cin)
        bias, stride = bias.repeat(s), 1
    elif s > 1:
        weight = weight.view(layer.cout, layer.cin, 2, s).permute(0, 2, 3, 1).reshape(layer.cout, 2, s * layer.cin)
    else:
        weight = weight.transpose(1, 2)
    alpha = None if before is None else before.alpha
    y: Tensor = Causal.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), alpha, weight, bias, layer.dilation, stride, kernels
    )
    return y.view(rows, -1, layer.cout)


def _is_causal(module: WNConv1d | WNConvTranspose1d, time: int) -> bool:
    """Whether it is a convolution for `Causal`: of rows that nothing follows, and with a stride of half its kernel."""
    layer = module.layer
    if isinstance(module, WNConvTranspose1d):
        return layer.kernel == 2 * layer.stride and layer.padding == 0 and layer.right == layer.stride
    if layer.stride > 1:
        halves = layer.kernel == 2 * layer.stride and layer.padding == layer.stride and layer.dilation == 1
        return halves and layer.right == 0 and time > 0 and time % layer.stride == 0
    return layer.cin > 1 and layer.right == 0 and layer.padding == (layer.kernel - 1) * layer.dilation


def _convolve(module: WNConv1d, x: Tensor) -> Tensor:
    """x ``[B, padding + T, cin]`` → ``[B, T', cout]``."""
    layer = module.layer
    if layer.right:
        x = F.pad(x, (0, 0, 0, layer.right))
    weight, bias = module.folded().to(x.dtype), module.bias.to(x.dtype)
    if layer.kernel == 1:
        return F.linear(x, weight[:, :, 0], bias)
    if layer.cin == layer.dilation == 1:  # windows of samples times a matrix
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
