"""The spectral losses' kernels for CUDA, between cuFFT's transforms: a few passes over memory in place of hundreds.

Windows are powers of two, and hops are quarters of them. Sizes are no constants of the kernels: each is compiled once
for all windows and lengths.

Knows: framing, the formulas of losses.py per bin and band, their gradients. Does not know: the order (spectral.py).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE = 1024  #: numbers of a program
SUMS = 5  #: see `magnitudes`


@triton.jit(do_not_specialize=["time", "clips", "tiles", "log"])  # type: ignore[untyped-decorator]
def _frame(x, y, hann, frames, time, clips, tiles, log, size, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0) // tiles
    e = (tl.program_id(0) % tiles) * TILE + tl.arange(0, TILE)
    inside = e < size
    n = e & ((1 << log) - 1)
    at = ((e >> log) << (log - 2)) + n - (1 << (log - 1))
    at = tl.abs(at)
    at = tl.where(at < time, at, 2 * (time - 1) - at)
    first = row < clips
    from_x = tl.load(x + row.to(tl.int64) * time + at, mask=inside & first, other=0.0)
    from_y = tl.load(y + (row - clips).to(tl.int64) * time + at, mask=inside & (row >= clips), other=0.0)
    v = (from_x + from_y) * tl.load(hann + n, mask=inside, other=0.0)
    tl.store(frames + row.to(tl.int64) * size + e, v, mask=inside)


@triton.jit(do_not_specialize=["clips", "tiles", "size"])  # type: ignore[untyped-decorator]
def _magnitudes(spectra, out, sums, clips, tiles, size, COMPARE: tl.constexpr, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    clip = (tl.program_id(0) // tiles).to(tl.int64)
    e = (tl.program_id(0) % tiles) * TILE + tl.arange(0, TILE)
    inside = e < size
    pair = 2 * e[:, None] + tl.arange(0, 2)[None, :]
    u, v = tl.split(tl.load(spectra + 2 * clip * size + pair, mask=inside[:, None], other=0.0))
    r, i = tl.split(tl.load(spectra + 2 * (clip + clips) * size + pair, mask=inside[:, None], other=0.0))
    power_a, power_b = u * u + v * v, r * r + i * i
    a, b = tl.sqrt(power_a + 1e-12), tl.sqrt(power_b + 1e-12)
    tl.store(out + clip * size + e, a, mask=inside)
    tl.store(out + (clip + clips) * size + e, b, mask=inside)
    if COMPARE:
        to = sums + tl.program_id(0) * 5
        tl.store(to, tl.sum(tl.where(inside, (a - b) * (a - b), 0.0), 0))
        tl.store(to + 1, tl.sum(tl.where(inside, a * a, 0.0), 0))
        logs = tl.abs(tl.log(tl.maximum(a, 1e-3)) - tl.log(tl.maximum(b, 1e-3)))
        tl.store(to + 2, tl.sum(tl.where(inside, logs, 0.0), 0))
        root_a, root_b = tl.sqrt(tl.sqrt(power_a + 1e-8)), tl.sqrt(tl.sqrt(power_b + 1e-8))
        tl.store(to + 3, tl.sum(tl.where(inside, root_a, 0.0), 0))
        p, q = r / root_b - u / root_a, i / root_b - v / root_a
        tl.store(to + 4, tl.sum(tl.where(inside, tl.sqrt(p * p + q * q + 1e-16), 0.0), 0))


@triton.jit(do_not_specialize=["clips", "tiles", "size", "first", "all_tiles"])  # type: ignore[untyped-decorator]
def _bands(mel, slope, sums, clips, tiles, size, first, all_tiles, scale, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    clip = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    e = tile * TILE + tl.arange(0, TILE)
    inside = e < size
    a = tl.load(mel + clip * size + e, mask=inside, other=1.0)
    b = tl.load(mel + (clip + clips) * size + e, mask=inside, other=1.0)
    apart = (tl.log(tl.maximum(b, 1e-5)) - tl.log(tl.maximum(a, 1e-5))) * (scale * 0.4342944819032518)
    tl.store(sums + clip * all_tiles + first + tile, tl.sum(tl.abs(apart), 0))
    sign = tl.where(apart > 0, 1.0, tl.where(apart < 0, -1.0, 0.0))
    d = tl.where(b >= 1e-5, sign / b * (scale * 0.4342944819032518), 0.0)
    tl.store(slope + clip * size + e, d, mask=inside)


@triton.jit(do_not_specialize=["clips", "tiles", "size", "bins", "bands"])  # type: ignore[untyped-decorator]
def _to_spectra(  # type: ignore[no-untyped-def]
    spectra, slope, band, share, factors, out, clips, tiles, size, bins, bands, MEL: tl.constexpr,
    COMPARE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    clip = (tl.program_id(0) // tiles).to(tl.int64)
    e = (tl.program_id(0) % tiles) * TILE + tl.arange(0, TILE)
    inside = e < size
    frame = e // bins
    k = e - frame * bins
    pair = 2 * e[:, None] + tl.arange(0, 2)[None, :]
    r, i = tl.split(tl.load(spectra + 2 * (clip + clips) * size + pair, mask=inside[:, None], other=0.0))
    power = r * r + i * i
    b = tl.sqrt(power + 1e-12)
    to_b = tl.zeros((TILE,), dtype=tl.float32)
    to_r, to_i = tl.zeros((TILE,), dtype=tl.float32), tl.zeros((TILE,), dtype=tl.float32)
    if MEL:
        low = tl.load(band + k, mask=inside, other=0)
        place = slope + (clip * (size // bins) + frame) * bands + low
        rising = tl.load(share + 2 * k, mask=inside, other=0.0) * tl.load(place, mask=inside, other=0.0)
        falling = tl.load(share + 2 * k + 1, mask=inside, other=0.0)
        falling *= tl.load(place + 1, mask=inside & (low + 1 < bands), other=0.0)
        to_b += (rising + falling) * tl.load(factors + 4 * clip)
    if COMPARE:
        u, v = tl.split(tl.load(spectra + 2 * clip * size + pair, mask=inside[:, None], other=0.0))
        power_a = u * u + v * v
        a = tl.sqrt(power_a + 1e-12)
        to_b += (b - a) * tl.load(factors + 4 * clip + 1)
        apart = tl.log(tl.maximum(b, 1e-3)) - tl.log(tl.maximum(a, 1e-3))
        each = tl.load(factors + 4 * clip + 2) / b
        each = tl.where(b >= 1e-3, each, 0.0)
        to_b += tl.where(apart > 0, each, tl.where(apart < 0, -each, 0.0))
        m = tl.sqrt(power + 1e-8)
        f, f_a = 1.0 / tl.sqrt(m), 1.0 / tl.sqrt(tl.sqrt(power_a + 1e-8))
        p, q = r * f - u * f_a, i * f - v * f_a
        each = f * tl.load(factors + 4 * clip + 3) / tl.sqrt(p * p + q * q + 1e-16)
        along = (p * r + q * i) / (2.0 * m * m)
        to_r += (p - along * r) * each
        to_i += (q - along * i) * each
    to_r += to_b * r / b
    to_i += to_b * i / b
    # A real transform counts each bin but the first and the last twice.
    edge = (k == 0) | (k == bins - 1)
    to_r = tl.where(edge, to_r, 0.5 * to_r)
    to_i = tl.where(edge, 0.0, 0.5 * to_i)
    tl.store(out + 2 * clip * size + pair, tl.join(to_r, to_i), mask=inside[:, None])


@triton.jit
def _covering(g, hann, p, there, log, frames):  # type: ignore[no-untyped-def]
    """What the frames that cover the padded positions p give."""
    d = tl.zeros(p.shape, dtype=tl.float32)
    for back in tl.static_range(4):
        frame = (p >> (log - 2)) - back
        n = p - (frame << (log - 2))
        covers = there & (frame >= 0) & (frame < frames)
        v = tl.load(g + (frame << log) + n, mask=covers, other=0.0)
        d += v * tl.load(hann + n, mask=covers, other=0.0)
    return d


@triton.jit(do_not_specialize=["time", "tiles", "log", "frames"])  # type: ignore[untyped-decorator]
def _overlap(g, hann, total, time, tiles, log, frames, size, TILE: tl.constexpr):  # type: ignore[no-untyped-def]
    clip = (tl.program_id(0) // tiles).to(tl.int64)
    start = (tl.program_id(0) % tiles) * TILE
    t = start + tl.arange(0, TILE)
    inside = t < time
    half, last = 1 << (log - 1), time - 1
    place, mine = total + clip * time + t, g + clip * size
    d = tl.load(place, mask=inside, other=0.0)
    d += _covering(mine, hann, t + half, inside, log, frames)
    if start <= half:  # reflections in the beginning
        d += _covering(mine, hann, half - t, inside & (t > 0) & (t <= half), log, frames)
    if start + TILE > last - half:  # and in the end
        d += _covering(mine, hann, half + 2 * last - t, (t < last) & (t >= last - half), log, frames)
    tl.store(place, d, mask=inside)


def framed(x: Tensor, y: Tensor, hann: Tensor) -> Tensor:
    """Frames of x and y ``[B, T]`` times ``hann [window]``, with reflected ends: ``[2B, frames, window]``."""
    (clips, time), window = x.shape, len(hann)
    frames = x.new_empty(2 * clips, 4 * time // window + 1, window)
    size = frames.shape[1] * window
    tiles = triton.cdiv(size, _TILE)
    _frame[(2 * clips * tiles,)](x, y, hann, frames, time, clips, tiles, _log(window), size, TILE=_TILE)
    return frames


def magnitudes(spectra: Tensor, compare: bool) -> tuple[Tensor, Tensor | None]:
    """Magnitudes of complex ``spectra [2B, frames, bins]``, of x first: float32, as they.

    Returns:
        The second is None without ``compare``, otherwise float32 ``[B, SUMS]``, sums over a clip: of (a − b)² and a²
        of both magnitudes, of the distance of their logs, of the original's compressed magnitudes, and of the distance
        of compressed spectra.
    """
    clips, size = spectra.shape[0] // 2, spectra.shape[1] * spectra.shape[2]
    parts = torch.view_as_real(spectra)
    out = parts.new_empty(spectra.shape)
    tiles = triton.cdiv(size, _TILE)
    sums = out.new_empty(clips, tiles, SUMS) if compare else out
    _magnitudes[(clips * tiles,)](parts, out, sums, clips, tiles, size, COMPARE=compare, TILE=_TILE)
    return out, sums.sum(1) if compare else None


def tiles_of(count: int) -> int:
    """How many sums `bands` gives for ``count`` numbers."""
    return int(triton.cdiv(count, _TILE))


def bands(mel: Tensor, sums: Tensor, first: int) -> Tensor:
    """Compare mel bands ``[2B, frames, bands]``, of x first.

    Args:
        sums: ``[B, any]``; from column ``first`` on it gets sums, whose total is the mean distance of log10 bands.

    Returns:
        ``[B, frames, bands]``, the gradient of that mean with respect to y's bands.
    """
    clips, size = mel.shape[0] // 2, mel.shape[1] * mel.shape[2]
    slope = mel.new_empty(clips, *mel.shape[1:])
    tiles = tiles_of(size)
    _bands[(clips * tiles,)](mel, slope, sums, clips, tiles, size, first, sums.shape[1], 1 / size, TILE=_TILE)
    return slope


def to_spectra(
    spectra: Tensor, slope: Tensor | None, band: Tensor, share: Tensor, factors: Tensor, compare: bool
) -> Tensor:
    """Gradients with respect to y's spectra, as what a complex-to-real transform without a scale wants.

    Args:
        spectra: of `magnitudes`.
        slope: of `bands`; None: not of the mel loss.
        band, share: ``[bins]`` int32 and ``[bins, 2]``: the lower band that a bin is in, and how much it adds to that
            and the next one.
        factors: ``[B, 4]``: how much the mel loss, (a − b)² / 2, the distance of logs and that of compressed spectra
            count.
        compare: whether the last three do.

    Returns:
        Complex ``[B, frames, bins]``.
    """
    clips, bins, size = spectra.shape[0] // 2, spectra.shape[2], spectra.shape[1] * spectra.shape[2]
    out = spectra.new_empty(clips, *spectra.shape[1:])
    tiles = triton.cdiv(size, _TILE)
    parts = torch.view_as_real(spectra)
    has_mel = slope is not None
    _to_spectra[(clips * tiles,)](
        parts, parts if slope is None else slope, band, share, factors, torch.view_as_real(out), clips, tiles, size,
        bins, 0 if slope is None else slope.shape[2], MEL=has_mel, COMPARE=compare, TILE=_TILE,
    )  # fmt: skip
    return out


def add_overlapping(total: Tensor, g: Tensor, hann: Tensor) -> None:
    """Add to ``total [B, T]`` the gradient with respect to y, from ``g [B, frames, window]``, that of `framed`."""
    (clips, time), frames, window = total.shape, g.shape[1], g.shape[2]
    tiles = triton.cdiv(time, _TILE)
    _overlap[(clips * tiles,)](g, hann, total, time, tiles, _log(window), frames, frames * window, TILE=_TILE)


def _log(window: int) -> Any:
    return window.bit_length() - 1
