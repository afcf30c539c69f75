"""The launches of the quantiser: latents become codes, codes become latents.

Knows: one shape of step, the kernels of both distances. Does not know: layers, the order of a step (program.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .addresses import Addresses
from .layers import THREADS, Launching, blocks, product
from .layout import HEADER
from .quantizer import Books, Levels, ResidentChain
from .structs import Book, Embed, Nearest, Quantise, Total, size_of


class Coding:
    """Launches of one shape of step."""

    def __init__(self, addresses: Addresses, multiprocessors: int) -> None:
        self._at, self._places, self._multiprocessors = addresses, addresses.places, multiprocessors
        self._shape = addresses.shape
        self._frames = self._shape.rows * self._shape.hops
        levels = addresses.resident.levels
        assert levels is not None
        self._levels, self._sizes = levels, levels.quantizer

    def encoding(self) -> Iterator[Launching]:
        """From the last convolution's results to codes, and latents where they are asked for."""
        if isinstance(self._levels, Levels):
            yield self._quantise(self._levels)
            return
        for number, (chain, count) in enumerate(self._chains(self._levels)):
            z = self._at.buffer(-1)
            if chain.into is not None:
                z, latent = self._at.extra(-1 - number, "inner")[0], self._sizes.latent_channels
                fields = {"in_": self._at.buffer(-1), "in_stride": latent, "plain": z,
                          "plain_stride": self._sizes.codebook_dim}  # fmt: skip
                yield product(chain.into, self._multiprocessors, streams=self._frames, rows=1, fields=fields)
            yield self._nearest(self._levels, chain, count, z)

    def decoding(self) -> Iterator[Launching]:
        """From codes to what the first layer's input is made of."""
        z = self._at.block + self._places.given
        if isinstance(self._levels, Levels):
            yield self._embed(self._levels, z)
            return
        dim, latent, begun = self._sizes.codebook_dim, self._sizes.latent_channels, False
        for number, (chain, count) in enumerate(self._chains(self._levels)):
            inner = z if chain.out is None else self._at.extra(-1 - number, "inner")[0]
            total = Total(z=inner, books=self._book(self._levels, chain), codes=self._at.block + self._places.inputs,
                          frames=self._frames, hops=self._shape.hops, dim=dim, count=count, first=chain.first,
                          all=self._shape.levels, onto=begun and chain.out is None)  # fmt: skip
            yield "total", (self._frames, blocks(dim, THREADS), 1), THREADS, 0, total
            if chain.out is not None:
                fields: dict[str, Any] = {"in_": inner, "in_stride": dim, "plain": z, "plain_stride": latent}
                fields |= {"join": z if begun else self._levels.nothing, "join_stride": latent if begun else 0}
                yield product(chain.out, self._multiprocessors, streams=self._frames, rows=1, fields=fields)
            begun = True

    def _chains(self, books: Books) -> Iterator[tuple[ResidentChain, int]]:
        """Those that have levels in this step, and how many."""
        for chain in books.chains:
            if (count := min(chain.count, self._shape.levels - chain.first)) > 0:
                yield chain, count

    @staticmethod
    def _book(books: Books, chain: ResidentChain) -> int:
        return books.address + chain.first * size_of(Book)

    def _nearest(self, books: Books, chain: ResidentChain, count: int, z: int) -> Launching:
        search = books.search(self._frames, self._multiprocessors)
        nearest = Nearest(
            z=z, books=self._book(books, chain), dim=self._sizes.codebook_dim, size=self._sizes.codebook_size,
            count=count, first=chain.first, all=self._shape.levels, **self._answers(),
        )  # fmt: skip
        return search.kernel, (blocks(self._frames, search.frames), 1, 1), THREADS, search.shared, nearest

    def _answers(self) -> dict[str, int]:
        """Where codes and latents go, and of how many frames."""
        answer, places = self._at.block + self._places.answer, self._places
        latents = answer + places.latents if places.latents_shape else 0
        return {"codes": answer + HEADER, "latents": latents, "frames": self._frames, "hops": self._shape.hops}

    def _quantise(self, levels: Levels) -> Launching:
        sizes, search = self._sizes, levels.search(self._frames, self._multiprocessors)
        quantise = Quantise(
            z=self._at.buffer(-1), levels=levels.address, latent=sizes.latent_channels, dim=sizes.codebook_dim,
            size=sizes.codebook_size, count=self._shape.levels, slab=search.slab, **self._answers(),
        )  # fmt: skip
        return search.kernel, (blocks(self._frames, search.frames), 1, 1), THREADS, search.shared, quantise

    def _embed(self, levels: Levels, z: int) -> Launching:
        latent, dim = self._sizes.latent_channels, self._sizes.codebook_dim
        embed = Embed(z, levels.address, self._at.block + self._places.inputs, self._frames, self._shape.hops, latent,
                      dim, self._shape.levels)  # fmt: skip
        return "embed", (self._frames, blocks(latent, THREADS), 1), THREADS, 0, embed
