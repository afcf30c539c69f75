"""More of the kernels' arithmetic in numpy: exponentials, ELU, GELU, norms, attention, an LSTM frame, nearest entries.

Knows: formulas. Does not know: kernels' parameters, devices. What plain.py says of fused multiply-adds holds here too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..quantizer import half_squares
from .plain import Array, chain, fma, numbers, polynomial, tanh

_EXP = "0x1.6c8844p-10", "0x1.120986p-7", "0x1.555588p-5", "0x1.5554e0p-3", "0x1.0p-1"
_ERF = ("-0x1.5f46a4p-17", "0x1.e26dc2p-14", "-0x1.be3d0ap-11", "0x1.564474p-8", "-0x1.b82bb0p-6", "0x1.ce2f1ap-4",
        "-0x1.812746p-2", "0x1.20dd76p+0")  # fmt: skip
_ERFC = ("-0x1.568264p-4", "0x1.8eef1cp-2", "-0x1.5c4ab4p-1", "0x1.e902a8p-2", "-0x1.3af596p-3", "0x1.04720cp-2",
         "0x1.d69b0ap-3", "0x1.234b3ep-2", "0x1.20abeep-2", "0x1.b1f71cp-18")  # fmt: skip
_ONE, _HALF = np.float32(1), np.float32(0.5)


def _octaves(y: Array) -> Array:
    n: Array = np.rint(y * np.float32(float.fromhex("0x1.715476p+0")))
    return n


def _expm1_reduced(y: Array, n: Array) -> Array:
    r = fma(n, float.fromhex("-0x1.7f7d1cp-20"), fma(n, float.fromhex("-0x1.62e400p-1"), y))
    return fma(r * r, polynomial(r, _EXP), r)


def _exp(y: Array) -> Array:
    n = _octaves(y)
    return (_expm1_reduced(y, n) + _ONE) * np.exp2(n)


def exp(x: Array) -> Array:
    """Of x ≤ 0."""
    return _exp(-np.minimum(-x, np.float32(87)))


def elu(x: Array) -> Array:
    """As functions.cuh."""
    y = -np.minimum(np.abs(x), np.float32(18))
    n = _octaves(y)
    scale = np.exp2(n)
    return np.where(x > 0, x, fma(_expm1_reduced(y, n), scale, scale - _ONE))


def sigmoid(x: Array) -> Array:
    """As functions.cuh."""
    e = _exp(-np.minimum(np.abs(x), np.float32(87)))
    share: Array = np.where(x < 0, e, _ONE) / (_ONE + e)
    return share


def gelu(x: Array) -> Array:
    """As functions.cuh."""
    size = np.minimum(np.abs(x), np.float32(13))
    u = size * np.float32(float.fromhex("0x1.6a09e6p-1"))
    close, square = u * polynomial(u * u, _ERF), size * size
    e, t = _exp(square * -_HALF), _ONE / fma(u, 0.5, _ONE)
    tail = (e * fma(fma(size, size, -square), -0.5, _ONE)) * polynomial(t, _ERFC)
    inside, outside = np.where(x < 0, _ONE - close, _ONE + close), np.where(x < 0, tail, np.float32(2) - tail)
    return (x * _HALF) * np.where(u < np.float32(0.9), inside, outside)


def _joined_sums(terms: list[tuple[Any, Any]], rows: int) -> Array:
    """Sums of products in 16 parts, the i-th of i, i + 16, …, added by halves. ``terms``: factors, ``[rows]`` each."""
    sums: Any = np.zeros((16, rows), np.float32)
    for i, (a, b) in enumerate(terms):
        sums[i % 16] = fma(a, b, sums[i % 16])
    for half in (8, 4, 2, 1):
        sums[:half] = sums[:half] + sums[half : 2 * half]
    total: Array = sums[0]
    return total


def norm(x: Array, weight: Array, bias: Array, epsilon: float) -> Array:
    """Of ``[rows, columns]``."""
    rows, columns = x.shape
    mean = _joined_sums([(_ONE, x[:, c]) for c in range(columns)], rows) / np.float32(columns)
    d = x - mean[:, None]
    variance = _joined_sums([(d[:, c], d[:, c]) for c in range(columns)], rows) / np.float32(columns)
    return fma(d / np.sqrt(variance + np.float32(epsilon))[:, None], weight, bias)


def attend(queries: Array, keys: Array, values: Array, begin: npt.NDArray[Any], end: npt.NDArray[Any]) -> Array:
    """One head: query i ``[rows, dim]`` sees the keys ``begin[i] … end[i] − 1``."""
    scale, out = np.float32(1.0 / np.sqrt(np.float64(queries.shape[1]))), np.empty_like(queries)
    for i, (first, last) in enumerate(zip(begin, end, strict=True)):
        scores = chain(0.0, queries[i : i + 1], keys[first:last].T)[0]
        w = exp((scores - scores.max()) * scale)
        total = np.float32(0)
        for each in w:
            total = total + each
        out[i] = chain(0.0, w[None], values[first:last])[0] / total
    return out


def lstm(gates: Array, h: Array, c: Array, weights: Array) -> tuple[Array, Array]:
    """A frame: h and c ``[streams, units]`` after it; ``gates [streams, 4 · units]`` are the input's part."""
    acc = gates
    for j in range(h.shape[1]):
        acc = fma(h[:, j, None], weights[j], acc)
    i, f, g, o = np.split(acc, 4, axis=1)
    cell = fma(sigmoid(f), c, sigmoid(i) * tanh(g))
    return sigmoid(o) * tanh(cell), cell


class PlainBook:
    """One level of Euclidean distance. Arrays as structs.Book has them."""

    def __init__(self, dim: int, size: int, seed: int) -> None:
        half = numbers(size // 2 * dim, seed).reshape(-1, dim)
        self.codebook = np.concatenate([half, half])  # the lower of equal entries is wanted
        self.across, self.halves = np.ascontiguousarray(self.codebook.T), half_squares(self.codebook)

    def nearest(self, z: Array) -> tuple[npt.NDArray[np.int64], Array]:
        """Codes, and what is left of ``z [frames, dim]``."""
        codes = chain(self.halves, z, self.across).argmax(1)
        return codes, z - self.codebook[codes]
