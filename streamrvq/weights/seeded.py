"""Seeded weights: random, but scaled so that real audio gives varied codes and the decoder a signal of normal level.

Every tensor is drawn from its own generator, seeded with the given seed and the tensor's name, so the order of drawing
does not matter. Only PCG64's raw 64-bit words are used, which numpy keeps stable for ever, and IEEE arithmetic without
library functions. So the values are the same on every platform. All are float16 values: a file can hold them in half
the bytes.

Knows: how large each tensor must be for that. Does not know: training; these weights are never called trained.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import ConfigError
from ..families import decoder_plan, encoder_plan, tensor_shapes
from ..geometry import Activation, Distance, Layer, LayerKind
from ..system.foreign_data import shown
from .value import Weights

#: Audio is at about 0.1 (−20 dBFS) and everything inside at about 1, so the first layer amplifies by ten.
_FIRST_GAIN = 10.0
_BRANCH_GAIN = 0.3  #: the last convolution of a residual branch
_LAST_GAIN = 0.1  #: before the tanh
_ACTIVATED_GAIN = {Activation.ELU: 1.3, Activation.GELU: 1.6}  #: behind an activation that makes its input smaller
_BIAS = 0.05  #: small, but never 0, so that a wrong edge shows in the codes
_STEP = 0.35  #: what one quantiser level subtracts, relative to the latents, which stay of one order of magnitude
_PIECE = 1 << 15


def seeded(config: Config, seed: int = 0, name: str = "seeded") -> Weights:
    """Random weights of ``config``, ``trained`` False.

    Args:
        config: the codec.
        seed: a non-negative whole number. Equal seeds give equal bits on every platform.
        name: of the result.

    Raises:
        ConfigError: a seed that is none, or a codec that is larger than any.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"seed is {shown(seed)}; wanted a whole number of at least 0")
    gains, around_one, tensors = _gains(config), _around_one(config), {}
    for tensor, shape in tensor_shapes(config).items():
        value = np.empty(math.prod(shape), np.float16)
        for start, spread in _normal(tensor, value.size, seed):
            if tensor in around_one:
                spread = np.clip(1 + spread / (2 * math.sqrt(3)), 0.5, 1.5)
            else:
                spread *= gains[tensor]
            value[start : start + spread.size] = spread
        tensors[tensor] = value.reshape(shape)
    return Weights.from_tensors(config, tensors, name=name, trained=False)


def _gains(config: Config) -> dict[str, float]:
    """The standard deviation of every weight, bias and codebook. A weight's is gain / √fan_in."""
    gains: dict[str | None, float] = {}  # None: tensors that a layer or level has not
    encoder, decoder = encoder_plan(config), decoder_plan(config)
    layers = (*encoder.layers, *decoder.layers)
    for layer, after in zip(layers, (*layers[1:], None), strict=True):
        gains[layer.scale] = _BRANCH_GAIN
        if layer.tensors is None:
            continue
        ends_branch = after is not None and after.kind == LayerKind.JOIN and after.scale is None
        gain = _BRANCH_GAIN if ends_branch else _ACTIVATED_GAIN.get(layer.activation, 1.0)
        if layer is encoder.layers[0]:
            gain = _FIRST_GAIN
        elif layer is decoder.layers[-1]:
            gain = _LAST_GAIN
        gains[layer.tensors.weight] = gain / math.sqrt(_fan_in(layer))
        gains[layer.tensors.recurrent] = gain / math.sqrt(layer.cout)
        gains[layer.tensors.bias] = _BIAS
    quantizer = encoder.quantizer
    for chain, levels in quantizer.runs():
        gains[chain.in_weight] = 1 / math.sqrt(quantizer.latent_channels)
        gains[chain.out_weight] = 1 / math.sqrt(chain.channels)
        for level in levels:
            gains[level.in_weight] = 1 / math.sqrt(chain.channels)
            gains[level.out_weight] = _STEP / math.sqrt(quantizer.codebook_dim)
            gains[level.in_bias] = gains[level.out_bias] = _BIAS
            gains[level.codebook] = 1.0 if quantizer.distance == Distance.COSINE else _STEP
    return {name: gain for name, gain in gains.items() if name is not None}


def _around_one(config: Config) -> set[str]:
    """The parameters of activations, and the weights of norms."""
    names = set()
    for layer in (*encoder_plan(config).layers, *decoder_plan(config).layers):
        if layer.tensors is not None and layer.tensors.activation is not None:
            names.add(layer.tensors.activation)
        if layer.tensors is not None and layer.kind == LayerKind.NORM:
            names.add(layer.tensors.weight)
    return names


def _fan_in(layer: Layer) -> int:
    """How many inputs one output sums. In a transposed convolution two taps reach each output."""
    return layer.cin // layer.groups * (2 if layer.kind == LayerKind.TRANSPOSED_CONV else layer.kernel)


def _normal(tensor: str, count: int, seed: int) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Almost normal numbers of mean 0 and variance 1, at most 3.5: sums of four 16-bit uniforms, exact in float64.

    They come as ``(start, piece)``, in pieces that fit into the processor's cache.
    """
    words = np.frombuffer(hashlib.sha256(tensor.encode()).digest(), "<u4")
    generator = np.random.PCG64(np.random.SeedSequence([seed, *(int(word) for word in words)]))
    for start in range(0, count, _PIECE):
        raw = np.asarray(generator.random_raw(min(_PIECE, count - start)), dtype="<u8").view("<u2")
        total = raw[0::4].astype(np.int32)
        for lane in (1, 2, 3):
            total += raw[lane::4]
        yield start, (total - 2 * 65535) / math.sqrt(4 * (65536**2 - 1) / 12)
