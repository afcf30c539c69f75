"""First values: the network begins as a transform codec, with an encoder that passes blocks of samples on through
orthogonal matrices and a decoder that undoes them; beside the waveform it passes on how loud each band is.

Knows: why: a random deep encoder and decoder take thousands of steps to find out how to pass any waveform on, and to
find levels worth sending; this start has both at step 0. Does not know: training.

Every strided convolution turns a block of coefficients into channels by ``T``, a random matrix of orthonormal columns,
where it has channels enough, and otherwise keeps their principal components first. The decoder goes the same way back.
Activations are of order 1, where Snake in a residual branch is as curved as can be; the branches are quiet. On the main
path Snake is nearly linear, its alphas being small. Taps outside the block, and what else the matrices leave at 0, get
small random values, but for the stem's, which would leak loud bands into quiet ones.

Where there is a stem, the first residual unit is the meter of meter.py. Its levels are coefficients from there on, with
principal components and channels of their own, down to the latents and up again to the decoder's last block, whose
output leaves them out: the decoder has them where it can use them, and starts without.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import CodecConfig
from ..nn import CodecModel, ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
from ..nn.decoder import DecoderBlock
from ..nn.encoder import EncoderBlock
from .meter import bands, put_meter

_LEVEL = 12.0  #: what the samples are multiplied by on their way in; −20 dBFS then makes activations of about 0.6
_STRAIGHT = 0.1  #: alpha on the main path
_BRANCH = 0.3  #: gain of a residual branch beside torch's first values
_QUIET = 0.01  #: the same of taps outside the block
_METER = 0.4  #: a step of the meter, 14 dB of a band's level, in the same units
_SHARE = 3  #: of this many components one is of levels, where there are fewer channels than coefficients
_EMPHASIS = 2.0  #: what levels are multiplied by on their way into the latents, where the codebooks divide the bits
_SPREAD = 0.0025  #: least standard deviation of ``weight_v``, times √fan_in


def front(config: CodecConfig) -> tuple[str, ...]:
    """Prefixes of the parameters that are filters and meter."""
    return ("encoder.block.0.", "encoder.block.1.block.0.") if _levels(config) else ()


@torch.no_grad()
def begin(model: CodecModel, pcm: Tensor) -> None:
    """Set the first values of encoder and decoder.

    Args:
        model: on the CPU, with weight norm.
        pcm: ``[B, T]``, some hundred frames, from which principal components are taken.
    """
    for module in model.modules():
        if isinstance(module, Snake1d):
            module.alpha.fill_(_STRAIGHT)
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            for part in module.block:
                if isinstance(part, Snake1d):
                    part.alpha.fill_(1.0)
            last = module.block[-1]
            assert isinstance(last, WNConv1d)
            last.weight_g.mul_(_BRANCH)
    first, *blocks, _, last = model.encoder.block
    unit = blocks[0].block[0] if isinstance(blocks[0], EncoderBlock) else None
    down = [first, *(block.block[-1] for block in blocks if isinstance(block, EncoderBlock)), last]
    first, *blocks, _, last, _ = model.decoder.model
    up = [last, *(block.block[1] for block in reversed(blocks) if isinstance(block, DecoderBlock)), first]
    coefficients = _LEVEL * pcm.double()[..., None]  # [B, T, n]
    # [channels, n]: from coefficients to channels, of the encoder and of the decoder. Samples are channels over _LEVEL.
    into = onto = torch.full((1, 1), 1 / _LEVEL, dtype=torch.float64)
    metered = torch.zeros(1, dtype=torch.bool)  # which coefficients are levels
    for a, b in zip(down, up, strict=True):
        assert isinstance(a, WNConv1d) and isinstance(b, (WNConv1d, WNConvTranspose1d))
        stride, channels = a.layer.stride, a.layer.cout
        rows, time, n = coefficients.shape
        coefficients = coefficients[:, : time // stride * stride].reshape(rows, time // stride, stride * n)
        inverse = torch.linalg.pinv(into)
        analysis = _blocks(inverse, stride)  # channels of a block to its coefficients
        synthesis = _blocks(onto, stride)
        metered = metered.repeat(stride)
        if channels < stride * n or a is down[-1]:
            components, metered = _components(coefficients, metered, channels)
            scale = 1.0 + (_EMPHASIS - 1.0) * metered.double()[:, None] * (a is down[-1])
            coefficients, analysis, synthesis = (
                coefficients @ (scale * components).T,
                scale * components @ analysis,
                synthesis @ (components / scale).T,
            )
        n = coefficients.shape[2]
        levels = _levels(model.config) if a is down[0] else 0
        into = torch.eye(n, dtype=torch.float64) if a is down[-1] else _orthonormal(channels, n + levels)
        onto = torch.eye(n, dtype=torch.float64) if a is down[-1] else _orthonormal(b.layer.cin, n + levels)
        _put_down(a, into[:, :n] @ analysis)
        _put_up(b, F.pad(synthesis, (0, levels)) @ torch.linalg.pinv(onto))
        if levels:
            assert isinstance(unit, ResidualUnit)
            put_meter(unit, stride, torch.linalg.pinv(into[:, :n]), _METER * into[:, n:], model.config.sample_rate)
            coefficients = _metered(a, unit, into, n, pcm)
            metered = torch.arange(n + levels) >= n
    steady(model)


@torch.no_grad()
def steady(model: CodecModel) -> None:
    """Make ``weight_v`` of encoder and decoder large enough; what they compute stays the same.

    Adam moves every number of v by as much: a wide layer would turn in a few steps if v were small.
    """
    for module in model.modules():
        if isinstance(module, (WNConv1d, WNConvTranspose1d)):
            layer = module.layer
            fan = layer.cin * (2 if layer.kind == "tconv" else layer.kernel)
            module.weight_v.mul_(max(1.0, _SPREAD * fan**0.5 / float(module.weight_v.square().mean().sqrt())))


def _levels(config: CodecConfig) -> int:
    """Bands of the meter: 0 without a stem, or where its samples leave too few channels."""
    count = bands(config.encoder_dim)
    room = min(config.encoder_dim, config.decoder_dim >> len(config.decoder_rates)) - config.stem
    return count if config.stem > 1 and count <= room else 0


def _metered(first: WNConv1d, unit: ResidualUnit, into: Tensor, n: int, pcm: Tensor) -> Tensor:
    """The coefficients ``[B, T, n + bands]`` behind ``unit``, whose bias takes the bands' means away."""
    back = torch.linalg.pinv(into)
    found: Tensor = unit(first(pcm[:, None])).transpose(1, 2).double() @ back.T
    mean = found[..., n:].mean((0, 1))
    narrow = unit.block[-1]
    assert isinstance(narrow, WNConv1d)
    narrow.bias.copy_(-into[:, n:] @ mean)
    found[..., n:] -= mean
    return found


def _blocks(matrix: Tensor, count: int) -> Tensor:
    """``count`` copies of ``matrix`` along a diagonal."""
    made: Tensor = torch.block_diag(*[matrix] * count)  # type: ignore[no-untyped-call]
    return made


def _orthonormal(rows: int, columns: int) -> Tensor:
    """Random, ``[rows, columns]``, of orthonormal columns (or rows, if there are fewer of those)."""
    random = torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64)
    q: Tensor = torch.linalg.qr(random)[0]
    return q if rows >= columns else q.T


def _components(x: Tensor, metered: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of ``[B, T, n]`` the first principal axes of what is metered, one in `_SHARE`, and of what is not, and which are
    which: ``[count, n]``, at most n, and ``[count]``."""
    flat = x.reshape(-1, x.shape[-1])
    found = torch.zeros(0, x.shape[-1], dtype=x.dtype)
    kinds = []
    levels = min(int(metered.sum()), count // _SHARE)
    for mask, wanted in ((~metered, count - levels), (metered, levels)):
        part = flat[:, mask]
        _, vectors = torch.linalg.eigh(part.T @ part)
        axes = torch.zeros(min(wanted, part.shape[1]), x.shape[-1], dtype=x.dtype)
        axes[:, mask] = vectors.flip(1).T[:wanted]
        found = torch.cat([found, axes])
        kinds.append(torch.full((len(axes),), bool(mask is metered)))
    return found, torch.cat(kinds)


def _put_down(conv: WNConv1d, matrix: Tensor) -> None:
    """``matrix [cout, stride · cin]``, taps first, becomes the last ``stride`` taps of ``conv``."""
    layer = conv.layer
    weight = _random(conv, matrix)
    taps = matrix.reshape(matrix.shape[0], layer.stride, layer.cin).transpose(1, 2).float()
    if layer.cin == 1:
        weight.zero_()
    weight[: matrix.shape[0], :, layer.kernel - layer.stride :] *= 0.1
    weight[: matrix.shape[0], :, layer.kernel - layer.stride :] += taps
    conv.set(weight)


def _put_up(conv: WNConv1d | WNConvTranspose1d, matrix: Tensor) -> None:
    """``matrix [stride · cout, cin]`` becomes the first taps of a transposed ``conv``, the last of a plain one."""
    layer = conv.layer
    weight = _random(conv, matrix)
    if isinstance(conv, WNConvTranspose1d):  # [cin, cout, 2s]
        weight[..., : layer.stride] *= 0.1
        taps = matrix.reshape(layer.stride, layer.cout, matrix.shape[1]).permute(2, 1, 0)
        weight[: matrix.shape[1], :, : layer.stride] += taps.float()
    else:
        weight[:, : matrix.shape[1], -1] = 0.1 * weight[:, : matrix.shape[1], -1] + matrix.float()
    conv.set(weight)


def _random(conv: WNConv1d | WNConvTranspose1d, matrix: Tensor) -> Tensor:
    """torch's first values of ``conv``, `_QUIET` beside ``matrix``."""
    weight = conv.folded()
    strength = float(matrix.square().mean().sqrt() / weight.square().mean().sqrt())
    return _QUIET * strength * weight
