"""The self-test of the quantisers' kernels, both ways.

Knows: the kernels' parameters, and what is expected (plain.py, plain_rows.py). Does not know: codecs, steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import structs as s
from ..quantizer import THREADS, nearest_shared, search_shared
from ..structs import as_bytes
from .bench import Bench
from .plain import PlainLevel, numbers
from .plain_rows import PlainBook


class CodingTests(Bench):
    """Each kernel, and whether its bits are right."""

    def results(self) -> Iterator[tuple[str, bool]]:
        for frames in (8, 1):
            for dim in (8, 5):
                yield f"quantise_{frames}{'' if dim == 8 else '_any'}", self._quantise(frames, dim)
            yield f"nearest_{frames}", self._nearest(frames)
        yield "embed", self._embed()
        yield "total", self._total()

    def _levels(self, latent: int, dim: int) -> tuple[list[PlainLevel], int]:
        plain = [PlainLevel(latent, dim, 300, 10 * level + dim) for level in range(3)]
        fields = [name for name, _ in s.Level._fields_]
        padding = np.zeros(4, np.float32)
        levels = [
            s.Level(*[self._put(np.concatenate([np.ravel(getattr(level, name)), padding])) for name in fields])
            for level in plain
        ]
        return plain, self._put(as_bytes(levels))

    def _quantise(self, each: int, dim: int) -> bool:
        latent, rows, hops, slab = 37, 3, 3, 16
        levels, at = self._levels(latent, dim)
        z = numbers(rows * hops * latent, 8).reshape(-1, latent)
        codes, inner, left = [], [], z
        for level in levels:
            chosen, vectors, left = level.quantise(left)
            codes.append(chosen.reshape(rows, hops))
            inner.append(vectors.reshape(rows, hops, dim).transpose(0, 2, 1))
        counts = rows * len(levels) * hops
        out = self._nothing(counts), self._nothing(counts * dim)
        quantise = s.Quantise(self._put(z), at, *out, rows * hops, hops, latent, dim, 300, len(levels), slab)
        shared = search_shared(each, latent, dim, slab)
        name = f"quantise_{each}{'' if dim == 8 else '_any'}"
        self._run(name, (-(-rows * hops // each), 1), THREADS, shared, quantise)
        return self._same(out[0], np.stack(codes, 1), np.int32) and self._same(out[1], np.concatenate(inner, 1))

    def _embed(self) -> bool:
        latent, rows, hops = 300, 2, 3
        levels, at = self._levels(latent, 5)
        codes = (np.arange(rows * 3 * hops).reshape(rows, 3, hops) * 37) % 301 - 1
        z = np.zeros((rows * hops, latent), np.float32)
        for i, level in enumerate(levels):
            z = level.embed(codes[:, i].ravel(), z)
        out = self._nothing(z.size)
        embed = s.Embed(out, at, self._put(codes.astype(np.int32)), rows * hops, hops, latent, 5, 3)
        self._run("embed", (rows * hops, 2), THREADS, 0, embed)
        return self._same(out, z)

    def _books(self, dim: int) -> tuple[list[PlainBook], int]:
        plain = [PlainBook(dim, 1100, 50 + level) for level in range(3)]
        fields = [name for name, _ in s.Book._fields_]
        books = [s.Book(*[self._put(getattr(book, name)) for name in fields]) for book in plain]
        return plain, self._put(as_bytes(books))

    def _nearest(self, each: int) -> bool:
        """A chain that begins with level 1 of 4."""
        dim, rows, hops = 19, 3, 3
        books, at = self._books(dim)
        left = z = numbers(rows * hops * dim, 47).reshape(-1, dim)
        codes, inner = np.full((rows, 4, hops), -7, np.int32), np.full((rows, 4, dim, hops), -7, np.float32)
        out = self._put(codes), self._put(inner)
        for level, book in enumerate(books, 1):
            inner[:, level] = left.reshape(rows, hops, dim).transpose(0, 2, 1)
            chosen, left = book.nearest(left)
            codes[:, level] = chosen.reshape(rows, hops)
        test = s.Nearest(self._put(z), at, *out, rows * hops, hops, dim, 1100, 3, 1, 4)
        shared = nearest_shared(each, dim)
        self._run(f"nearest_{each}", (-(-rows * hops // each), 1), THREADS, shared, test)
        return self._same(out[0], codes, np.int32) and self._same(out[1], inner)

    def _total(self) -> bool:
        dim, rows, hops = 300, 2, 3
        books, at = self._books(dim)
        codes = (np.arange(rows * 4 * hops).reshape(rows, 4, hops) * 37) % 301 - 1
        z = numbers(rows * hops * dim, 48).reshape(-1, dim)
        places = [self._put(z), self._put(z)]
        for onto, place in enumerate(places):
            test = s.Total(place, at, self._put(codes.astype(np.int32)), rows * hops, hops, dim, 3, 1, 4, onto)
            self._run("total", (rows * hops, 2), THREADS, 0, test)
            wanted = z if onto else np.zeros_like(z)
            for level, book in enumerate(books, 1):
                code = codes[:, level].ravel()
                wanted = np.where(code[:, None] < 0, wanted, wanted + book.codebook[np.maximum(code, 0)])
            if not self._same(place, wanted):
                return False
        return True
