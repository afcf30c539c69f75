"""The kernels' arithmetic in numpy, in the plainest order: what the self-test expects.

Knows: formulas. Does not know: tiles, devices. A fused multiply-add is computed in float64 and rounded to float32. Its
product is exact there, its sum is not always: once in 2²⁹ it might round the other way. The self-test's numbers are the
same everywhere, and for them it never does: the tests compare it with real ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..quantizer import unit_entries

Array = npt.NDArray[np.float32]


def numbers(count: int, seed: int, scale: float = 1.0) -> Array:
    """``count`` numbers between −scale and scale that fill float32, from whole numbers alone."""
    words = (np.arange(count, dtype=np.uint64) + np.uint64(1 + 7919 * seed)) * np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    words *= np.uint64(0xBF58476D1CE4E5B9)
    whole = (words >> np.uint64(39)).astype(np.float64) - float(1 << 24)
    return (whole * (scale / (1 << 24))).astype(np.float32)


def fma(a: Any, b: Any, c: Any) -> Array:
    """a · b + c, rounded once."""
    result: Array = (np.float64(a) * b + c).astype(np.float32)
    return result


def chain(start: Any, x: Array, w: Array) -> Array:
    """``start[N] + x[M, K] · w[K, N]``, k by k."""
    acc = np.broadcast_to(np.asarray(start, np.float32), (len(x), w.shape[1]))
    for k in range(x.shape[1]):
        acc = fma(x[:, k, None], w[k], acc)
    return acc


def polynomial(x: Array, terms: tuple[str, ...]) -> Array:
    """By Horner's rule, the highest power first; coefficients in hexadecimal."""
    p = np.full_like(x, float.fromhex(terms[0]))
    for term in terms[1:]:
        p = fma(p, x, float.fromhex(term))
    return p


def snake(x: Array, turn: Array, turn_low: Array, inverse: Array) -> Array:
    """As functions.cuh."""
    phase = x * turn
    rest = fma(x, turn_low, fma(x, turn, -phase))
    f = (phase - np.rint(phase)) + rest
    f = f - np.rint(f)
    z = f * f
    sine = f * polynomial(z, ("0x1.466de4p-4", "-0x1.32e03cp-1", "0x1.466ee4p+1", "-0x1.4abbeep+2", "0x1.921fb6p+1"))
    return fma(sine * inverse, sine, x)


def tanh(x: Array) -> Array:
    """As functions.cuh."""
    one, z = np.float32(1), x * x
    p = polynomial(z, ("-0x1.8c8c88p-8", "0x1.577db8p-6", "-0x1.b916f0p-5", "0x1.110ddcp-3", "-0x1.555552p-2"))
    small = fma(z * x, p, x)
    size = np.minimum(np.abs(x), np.float32(10))
    y = size + size
    n = np.rint(y * np.float32(float.fromhex("0x1.715476p+0")))
    r = fma(n, float.fromhex("-0x1.7f7d1cp-20"), fma(n, float.fromhex("-0x1.62e400p-1"), y))
    q = polynomial(r, ("0x1.6c8844p-10", "0x1.120986p-7", "0x1.555588p-5", "0x1.5554e0p-3", "0x1.0p-1"))
    e = (fma(r * r, q, r) + one) * np.exp2(n)
    big = one - np.float32(2) / (e + one)
    return np.where(np.abs(x) < np.float32(0.625), small, np.where(x < 0, -big, big))


class PlainLevel:
    """One level of a quantiser of the self-test. Weights as structs.Level has them."""

    def __init__(self, latent: int, dim: int, size: int, seed: int) -> None:
        self.in_weight = numbers(latent * dim, seed, 0.3).reshape(latent, dim)
        self.in_bias = numbers(dim, seed + 1)
        half = numbers(size // 2 * dim, seed + 2).reshape(-1, dim)
        self.codebook = np.concatenate([half, half])  # the lower of equal entries is wanted
        self.unit = unit_entries(self.codebook)
        self.out_weight = numbers(dim * latent, seed + 3, 0.3).reshape(dim, latent)
        self.out_bias = numbers(latent, seed + 4, 0.1)

    def quantise(self, z: Array) -> tuple[npt.NDArray[np.int64], Array, Array]:
        """Codes, projections, and what is left of ``z`` ``[frames, latent]``."""
        inner = chain(self.in_bias, z, self.in_weight)
        squares = np.zeros(len(z), np.float32)
        for d in range(inner.shape[1]):
            squares = fma(inner[:, d], inner[:, d], squares)
        unit: Array = (inner / np.maximum(np.sqrt(squares), np.float32(1e-12))[:, None]).astype(np.float32, copy=False)
        codes = chain(0.0, unit, self.unit.T).argmax(1)
        left = chain(-self.out_bias, self.codebook[codes], -self.out_weight) + z
        return codes, inner, left

    def embed(self, codes: npt.NDArray[np.int64], z: Array) -> Array:
        """``z`` plus the entries of ``codes``; −1: nothing."""
        added = chain(self.out_bias, self.codebook[np.maximum(codes, 0)], self.out_weight) + z
        return np.where(codes[:, None] < 0, z, added)
