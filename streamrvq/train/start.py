"""First values: the network begins as a transform codec, with an encoder that passes blocks of samples on through
orthogonal matrices and a decoder that undoes them.

Knows: why: a random deep encoder and decoder take thousands of steps to find out how to pass any waveform on; this
start does at step 0. Does not know: training.

Every strided convolution turns a block of coefficients into channels by ``T``, a random matrix of orthonormal columns,
where it has channels enough, and otherwise keeps their principal components first. The decoder goes the same way back.
Activations are of order 1, where Snake in a residual branch is as curved as can be; the branches are quiet. On the main
path Snake is nearly linear, its alphas being small. Taps outside the block, and what else the matrices leave at 0, get
small random values, but for the stem's, which would leak loud bands into quiet ones.

Principal components of the first blocks are bands. Between them lie 40 dB and more, and whatever is imperfect behind
them, codebooks or weights on their way, is so by a share of the loudest. They are therefore brought nearer to one
another on their way in, and apart again on their way out: noise then follows the spectrum, as in a speech codec's
weighting filter (Atal and Schroeder 1979).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..nn import CodecModel, ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
from ..nn.decoder import DecoderBlock
from ..nn.encoder import EncoderBlock

_LEVEL = 12.0  #: what the samples are multiplied by on their way in; −20 dBFS then makes activations of about 0.6
_STRAIGHT = 0.01  #: alpha on the main path
_BRANCH = 0.1  #: gain of a residual branch beside torch's first values
_QUIET = 0.01  #: the same of taps outside the block
_BLOCK = 32  #: samples, at least, whose principal components are taken for bands
_FLATTER = 0.6  #: a band of level L is sent as L^(1 − 0.6)


@torch.no_grad()
def begin(model: CodecModel, pcm: Tensor) -> None:
    """Set the first values of encoder and decoder.

    Args:
        model: on the CPU.
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
            last.set(_BRANCH * last.folded(), last.bias)
    first, *blocks, _, last = model.encoder.block
    down = [first, *(block.block[-1] for block in blocks if isinstance(block, EncoderBlock)), last]
    first, *blocks, _, last, _ = model.decoder.model
    up = [last, *(block.block[1] for block in reversed(blocks) if isinstance(block, DecoderBlock)), first]
    coefficients = _LEVEL * pcm.double()[..., None]  # [B, T, n]
    # [channels, n]: from coefficients to channels, of the encoder and of the decoder. Samples are channels over _LEVEL.
    into = onto = torch.full((1, 1), 1 / _LEVEL, dtype=torch.float64)
    block = 1
    for a, b in zip(down, up, strict=True):
        assert isinstance(a, WNConv1d) and isinstance(b, (WNConv1d, WNConvTranspose1d))
        stride, channels = a.layer.stride, a.layer.cout
        rows, time, n = coefficients.shape
        coefficients = coefficients[:, : time // stride * stride].reshape(rows, time // stride, stride * n)
        analysis = _blocks(torch.linalg.pinv(into), stride)  # channels of a block to its coefficients
        synthesis = _blocks(onto, stride)
        bands = block < _BLOCK <= block * stride
        block *= stride
        if bands or channels < stride * n or a is down[-1]:
            components, deviation = _components(coefficients, channels)
            scale = _flatter(deviation)[:, None] if bands else torch.ones(1, 1, dtype=torch.float64)
            coefficients = coefficients @ (scale * components).T
            analysis, synthesis = scale * components @ analysis, synthesis @ (components / scale).T
        n = coefficients.shape[2]
        into = torch.eye(n, dtype=torch.float64) if a is down[-1] else _orthonormal(channels, n)
        onto = torch.eye(n, dtype=torch.float64) if a is down[-1] else _orthonormal(b.layer.cin, n)
        _put_down(a, into @ analysis)
        _put_up(b, synthesis @ torch.linalg.pinv(onto))


def _blocks(matrix: Tensor, count: int) -> Tensor:
    """``count`` copies of ``matrix`` along a diagonal."""
    made: Tensor = torch.block_diag(*[matrix] * count)  # type: ignore[no-untyped-call]
    return made


def _orthonormal(rows: int, columns: int) -> Tensor:
    """Random, ``[rows, columns]``, of orthonormal columns (or rows, if there are fewer of those)."""
    random = torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64)
    q: Tensor = torch.linalg.qr(random)[0]
    return q if rows >= columns else q.T


def _components(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first principal axes of ``[B, T, n]``, ``[count, n]`` or all n of them, and the deviation along each."""
    flat = x.reshape(-1, x.shape[-1])
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    return vectors.flip(1).T[:count], values.flip(0)[:count].clamp(min=1e-12).sqrt()


def _flatter(deviation: Tensor) -> Tensor:
    """What bands are multiplied by; their power in all stays the same."""
    scale: Tensor = deviation**-_FLATTER
    power: Tensor = deviation.norm() / (deviation * scale).norm()
    return power * scale


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
