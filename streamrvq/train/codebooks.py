"""Codebooks: made from data, then kept in use.

Latents are used as they are. Scaling every channel to variance 1 first would spend the bits of the first levels on
channels that carry little. With the first values of start.py that gave a decoded SI-SDR of −5.2 dB; this way it is
+1.5 dB.

Knows: PCA and k-means, level by level, on what the levels before left over; running means of the latents that an entry
stands for; replacing entries that are no longer used. Does not know: the search itself, which is the quantiser's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nn import ResidualVectorQuantize, VectorQuantize, WNConv1d
from .runs.effort import ROUNDS
from .steps.ranks import ALONE, Ranks


def make_codebooks(
    quantizer: ResidualVectorQuantize,
    z: Tensor,
    generator: torch.Generator,
    pole: float = 0.0,
    watch: Callable[[float], None] = lambda share: None,
) -> list[Tensor]:
    """Set projections from PCA and entries from k-means, level by level, for latents ``z [N, D]``.

    A search by cosine cannot see loudness. Where frames differ in loudness, a level can leave a larger residual of a
    quiet frame than there was before. A constant coordinate c helps: the direction of (x, c) differs from that of
    (2·x, c), and for c ≫ |x| the greatest cosine means the smallest distance. The quantiser stays the same, with one
    coordinate less. A small c is enough, and keeps the cosines of neighbours apart: their gaps shrink as (|x| / c)².

    Args:
        generator: on the CPU, as ``z`` is.
        pole: the first value of the last coordinate of every level, relative to the root mean square of all other
            coordinates together. 0: that coordinate is one more component. So it is if there is no other one.
        watch: called with the share that is done, before each round of k-means.

    Returns:
        For each level, ``[codebook_size]``: the share of frames that each entry gets.
    """
    shares = []
    residual = z.double()
    for number, level in enumerate(quantizer.quantizers):
        assert isinstance(level, VectorQuantize)
        raised = pole > 0 and level.codebook_dim > 1
        mean = residual.mean(0)
        centred = residual - mean
        _, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        axes = vectors[:, -level.codebook_dim :].flip(1).T  # [dim, D], or [D, D] if there are fewer channels
        more = level.codebook_dim - len(axes)
        spread = centred @ axes.T
        scale = spread[:, : -1 if raised and not more else None].square().mean().sqrt().clamp(min=1e-6)
        into, back = axes / scale, axes.T * scale
        if more:  # coordinates for which there are no channels: almost 0, as the constant one below
            again = into[torch.arange(more) % len(axes)]
            into, back = torch.cat([into, 1e-3 * again]), F.pad(back, (0, more))
        if raised:
            into[-1] *= 1e-3  # not 0: a weight norm of 0 has no gradient
            back[:, -1] = 0
        bias = -into @ mean
        if raised:
            bias[-1] += pole * (level.codebook_dim - 1) ** 0.5
        inside = partial(_watch_level, watch, number, len(quantizer.quantizers))
        book, codes = _k_means((residual @ into.T + bias).float(), level.codebook_size, generator, inside)
        _conv(level.in_proj).set(into.float()[:, :, None], bias.float())
        _conv(level.out_proj).set(back.float()[:, :, None], mean.float())
        with torch.no_grad():
            level.codebook.weight.copy_(book)
        residual = centred - book[codes].double() @ back.T
        shares.append(torch.bincount(codes, minlength=level.codebook_size).float() / len(codes))
    return shares


def _watch_level(watch: Callable[[float], None], level: int, levels: int, share: float) -> None:
    watch((level + share) / levels)


def _conv(module: object) -> WNConv1d:
    assert isinstance(module, WNConv1d)
    return module


def _k_means(
    x: Tensor, entries: int, generator: torch.Generator, watch: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """Entries ``[entries, dim]`` and codes ``[N]``. Nearest is by cosine, as in the quantiser; entries are means."""
    # A random order of the frames is a good start. With more entries than frames some repeat, slightly moved.
    order = torch.randperm(len(x), generator=generator)
    book = x[order.repeat(-(-entries // len(x)))[:entries]].clone()
    book += 1e-3 * torch.randn(book.shape, generator=generator)
    unit = F.normalize(x)
    for number in range(ROUNDS):
        watch(number / ROUNDS)
        codes = (unit @ F.normalize(book).T).argmax(1)
        count = torch.bincount(codes, minlength=entries)
        total = torch.zeros_like(book).index_add_(0, codes, x)
        book = total / count.clamp(min=1)[:, None]
        empty = (count == 0).nonzero()[:, 0]
        if len(empty):
            book[empty] = x[torch.randint(len(x), (len(empty),), generator=generator)]
    return book, (unit @ F.normalize(book).T).argmax(1)


class RunningMeans:
    """Running means: how often each entry is used, and the mean of its latents, which the entry becomes.

    Args:
        quantizer: the quantiser whose codebooks move.
        decay: of the means, in each step.
        expire: see `TrainConfig`.
        ranks: who else has a part of each batch.
    """

    def __init__(self, quantizer: ResidualVectorQuantize, decay: float, expire: float, ranks: Ranks = ALONE) -> None:
        self.decay, self.expire, self._ranks = decay, expire, ranks
        self.levels = [level for level in quantizer.quantizers if isinstance(level, VectorQuantize)]
        books = [level.codebook.weight.detach() for level in self.levels]
        self.share = torch.stack([torch.full((len(book),), 1 / len(book), device=book.device) for book in books])
        self.total = torch.stack(books) * self.share[..., None]

    def start(self, shares: list[Tensor]) -> None:
        """Start from the shares that `make_codebooks` gave."""
        self.share = torch.stack(shares).to(self.share.device)
        floor = 0.5 / self.share.shape[1]
        self.share = self.share.clamp(min=floor)
        self.total = torch.stack([level.codebook.weight.detach() for level in self.levels]) * self.share[..., None]

    def state(self) -> dict[str, Tensor]:
        return {"share": self.share, "total": self.total}

    def load(self, state: dict[str, Tensor]) -> None:
        self.share, self.total = state["share"].to(self.share.device), state["total"].to(self.total.device)

    @torch.no_grad()
    def update(self, codes: Tensor, latents: Tensor, move: bool, chosen: Tensor, good: Tensor | None = None) -> Tensor:
        """Take the codes ``[B, K, T]`` and latents ``[B, K·dim, T]`` of one step. Nothing here waits for a device.

        With several processes B is what this one has, and all have the same means afterwards.

        Args:
            move: move the entries to their means. False only replaces dead entries: then the codebook loss moves them.
            chosen: int64 ``[K·size]``, frames of the whole batch at random (`drawn_frames`). Each dead entry takes one.
            good: bool ``[]``; False leaves everything as it is. None: True.

        Returns:
            Which entries were replaced: bool ``[K, size]``.
        """
        levels, size, dim = self.total.shape
        frames = codes.shape[0] * codes.shape[2]
        whole = frames * self._ranks.world
        x = latents.view(latents.shape[0], levels, dim, -1).permute(1, 0, 3, 2).reshape(levels * frames, dim)
        first = torch.arange(levels, device=codes.device)[:, None]
        index = (codes.transpose(0, 1).reshape(levels, frames) + first * size).reshape(-1)
        ones = torch.ones(len(index), device=x.device)
        count = torch.zeros(levels * size, device=x.device).index_add_(0, index, ones).view(levels, size) / whole
        total = torch.zeros(levels * size, dim, device=x.device).index_add_(0, index, x).view_as(self.total) / whole
        self._ranks.sum_(count, total)
        share, sums = self.share.lerp(count, 1 - self.decay), self.total.lerp(total, 1 - self.decay)
        old = torch.stack([level.codebook.weight for level in self.levels])
        book = sums / share[..., None].clamp(min=1e-9) if move else old
        dead = share < self.expire / size
        number = (dead.view(-1).cumsum(0) - 1).clamp(min=0).view(levels, size)  # of the dead entry, over all levels
        book = torch.where(dead[..., None], self._latents(x.view(levels, frames, dim), chosen[number]), book)
        share = share.masked_fill(dead, 0.5 / size)  # torch.where would copy the number to a GPU, and wait
        sums = torch.where(dead[..., None], book * (0.5 / size), sums)
        if good is not None:
            share, sums = torch.where(good, share, self.share), torch.where(good, sums, self.total)
            book, dead = torch.where(good, book, old), dead & good
        self.share.copy_(share)
        self.total.copy_(sums)
        for level, entries in zip(self.levels, book, strict=True):
            level.codebook.weight.copy_(entries)
        return dead

    def _latents(self, x: Tensor, frames: Tensor) -> Tensor:
        """Of each level's ``frames [K, size]`` of the whole batch: ``[K, size, dim]``. x: ``[K, frames here, dim]``."""
        levels, here = x.shape[:2]
        first = torch.arange(levels, device=x.device)[:, None]
        at = frames - self._ranks.rank * here
        if self._ranks.world == 1:
            return x[first, at]
        found = torch.where(((at >= 0) & (at < here))[..., None], x[first, at.clamp(0, here - 1)], 0.0)
        self._ranks.sum_(found)  # one process has each
        return found


def drawn_frames(count: int, frames: int, seed: int) -> Tensor:
    """Numbers of ``count`` frames out of ``frames`` at random, int64 ``[count]``, for `RunningMeans.update`."""
    return torch.randint(frames, (count,), generator=torch.Generator().manual_seed(seed))
