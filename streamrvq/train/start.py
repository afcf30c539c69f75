"""First values: the network starts as a transform codec, whose decoder undoes what its encoder does.

A random deep encoder and decoder need thousands of steps to learn to pass any waveform through. With these values they
do so at step 0: the encoder passes blocks of samples through orthogonal matrices, and the decoder inverts them.

Each strided convolution turns a block of coefficients into channels with a random matrix of orthonormal columns. If
there are more coefficients than channels, only the principal components are passed on. The decoder reverses each step.

Activations are of order 1, where Snake in a residual branch is most curved, and the branches start quiet. On the main
path the alphas are small, so Snake is almost linear. Taps outside the block, and everything else that the matrices
leave at 0, get small random values. The stem gets none, for they would leak loud bands into quiet ones.

Principal components of the first blocks are frequency bands, whose levels differ by 40 dB and more. Whatever is
imperfect after them, such as unfinished codebooks or weights, makes an error in proportion to the loudest band. So
the levels of the bands are brought closer together in the encoder, and apart again in the decoder. The noise then
follows the spectrum, as with the weighting filter of a speech codec (Atal and Schroeder 1979).

Knows: how these values are computed. Does not know: training.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..nn import CodecModel, ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
from ..nn.decoder import DecoderBlock
from ..nn.encoder import EncoderBlock

_LEVEL = 12.0  #: factor on the samples in the encoder; −20 dBFS then gives activations of about 0.6
_STRAIGHT = 0.01  #: alpha on the main path
_BRANCH = 0.1  #: gain of a residual branch, relative to torch's first values
_QUIET = 0.01  #: gain of taps outside the block, relative to the matrix
_BLOCK = 32  #: the least samples in a block whose principal components count as bands
_FLATTER = 0.6  #: a band of level L gets the level L^(1 − 0.6)


@torch.no_grad()
def set_first_values(model: CodecModel, pcm: Tensor, watch: Callable[[float], None] = lambda share: None) -> None:
    """Set the first values of encoder and decoder.

    Args:
        model: on the CPU.
        pcm: ``[B, T]``, some hundreds of frames, for the principal components.
        watch: called with the share that is done, before each layer. An exception from it leaves only some values set.
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
    for number, (a, b) in enumerate(zip(down, up, strict=True)):
        watch(number / len(down))
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
        _set_downsampling(a, into @ analysis)
        _set_upsampling(b, synthesis @ torch.linalg.pinv(onto))


def _blocks(matrix: Tensor, count: int) -> Tensor:
    """``count`` copies of ``matrix`` along a diagonal."""
    made: Tensor = torch.block_diag(*[matrix] * count)  # type: ignore[no-untyped-call]
    return made


def _orthonormal(rows: int, columns: int) -> Tensor:
    """A random matrix ``[rows, columns]`` with orthonormal columns, or orthonormal rows if there are fewer rows."""
    random = torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64)
    q: Tensor = torch.linalg.qr(random)[0]
    return q if rows >= columns else q.T


def _components(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` principal axes of ``[B, T, n]``, at most n, and the deviation along each."""
    flat = x.reshape(-1, x.shape[-1])
    values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
    return vectors.flip(1).T[:count], values.flip(0)[:count].clamp(min=1e-12).sqrt()


def _flatter(deviation: Tensor) -> Tensor:
    """The factors on the bands. Their total power stays the same."""
    scale: Tensor = deviation**-_FLATTER
    power: Tensor = deviation.norm() / (deviation * scale).norm()
    return power * scale


def _set_downsampling(conv: WNConv1d, matrix: Tensor) -> None:
    """Make ``matrix [cout, stride · cin]``, taps first, the last ``stride`` taps of ``conv``."""
    layer = conv.layer
    weight = _random(conv, matrix)
    taps = matrix.reshape(matrix.shape[0], layer.stride, layer.cin).transpose(1, 2).float()
    if layer.cin == 1:
        weight.zero_()
    weight[: matrix.shape[0], :, layer.kernel - layer.stride :] *= 0.1
    weight[: matrix.shape[0], :, layer.kernel - layer.stride :] += taps
    conv.set(weight)


def _set_upsampling(conv: WNConv1d | WNConvTranspose1d, matrix: Tensor) -> None:
    """Make ``matrix [stride · cout, cin]`` the first taps of a transposed ``conv``, or the last tap of a plain one."""
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
    """torch's first values of ``conv``, scaled to `_QUIET` relative to ``matrix``."""
    weight = conv.folded()
    strength = float(matrix.square().mean().sqrt() / weight.square().mean().sqrt())
    return _QUIET * strength * weight
