"""The quantiser's levels on the device, and the kernels that go through them.

Knows: geometry.Quantizer, the parameters of quantise.cuh, nearest.cuh and embed.cuh. Does not know: steps in time,
layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ...errors import EngineError
from ...geometry import Distance, Quantizer
from .convolutions import Tensors
from .kept import Kept
from .products import Array, ResidentProduct, linear, up
from .structs import Book, Level, as_bytes
from .tiles import SHARED

#: Of a block of the quantiser, as in kernels.cu and quantise.cuh.
THREADS, SLABS = 256, 4
#: Numbers of a slab of weights at most: a copy of 16 bytes a thread.
SLAB = 4 * THREADS


@dataclasses.dataclass(frozen=True)
class Search:
    """How the quantiser is launched for a number of frames."""

    kernel: str
    frames: int  #: a block
    shared: int  #: bytes of a block
    slab: int  #: channels


class Levels:
    """All levels of a quantiser on the device.

    Attributes:
        address: of an array of `structs.Level`.
    """

    def __init__(self, kept: Kept, quantizer: Quantizer, tensors: Tensors) -> None:
        self.quantizer, levels = quantizer, []
        for names in quantizer.levels:
            weight = {field: np.asarray(tensors[name], np.float32) for field, name in dataclasses.asdict(names).items()}
            book = weight["codebook"]
            into = weight["in_weight"].reshape(quantizer.codebook_dim, -1).T  # [latent][dim]
            flat = np.zeros(up(into.size, 4), np.float32)
            flat[: into.size] = into.ravel()
            out = weight["out_weight"].reshape(-1, quantizer.codebook_dim).T  # [dim][latent]
            arrays = flat, weight["in_bias"], unit_entries(book), book, out, weight["out_bias"]
            levels.append(Level(*[kept.put(values) for values in arrays]))
        self.address = kept.put(as_bytes(levels))

    def search(self, frames: int, multiprocessors: int) -> Search:
        """Eight frames a block share what it reads. Few frames go one by one, side by side.

        Raises:
            EngineError: latents too wide for a block's shared memory.
        """
        dim, latent = self.quantizer.codebook_dim, self.quantizer.latent_channels
        slab = max(4, min(128, SLAB // dim // 4 * 4))
        for size, shared in _fitting(frames, multiprocessors, lambda size: search_shared(size, latent, dim, slab)):
            return Search(f"quantise_{size}{'' if dim == 8 else '_any'}", size, shared, slab)
        raise EngineError(
            f"the quantiser has {latent} latent channels and entries of {dim} dimensions; the cuda engine has room "
            "for about 20 000 channels: use engine='native'"
        )


@dataclasses.dataclass
class ResidentChain:
    """Levels of Euclidean distance that follow one another: ``count`` from number ``first`` on."""

    first: int
    count: int
    into: ResidentProduct | None  #: projects the latents
    out: ResidentProduct | None  #: projects back


class Books:
    """All levels of a quantiser of Euclidean distance on the device.

    Attributes:
        address: of an array of `structs.Book`.
        nothing: the address of as many zeros as there are latent channels.
    """

    def __init__(self, kept: Kept, quantizer: Quantizer, tensors: Tensors) -> None:
        self.quantizer, self.chains, books = quantizer, list[ResidentChain](), list[Book]()

        def product(name: str | None) -> ResidentProduct | None:
            return None if name is None else ResidentProduct(kept, linear(np.asarray(tensors[name], np.float32)))

        for chain, levels in quantizer.runs():
            if chain.in_weight is None and quantizer.codebook_dim != quantizer.latent_channels:
                raise EngineError("entries of Euclidean distance must be as wide as their chain's latents")
            into, out = product(chain.in_weight), product(chain.out_weight)
            self.chains.append(ResidentChain(len(books), len(levels), into, out))
            for level in levels:
                book = np.asarray(tensors[level.codebook], np.float32)
                books.append(Book(*[kept.put(values) for values in (book, book.T, half_squares(book))]))
        self.address = kept.put(as_bytes(books))
        self.nothing = kept.put(np.zeros(up(quantizer.latent_channels, 4), np.float32))

    def search(self, frames: int, multiprocessors: int) -> Search:
        """Eight frames a block, or one where there are few.

        Raises:
            EngineError: entries too wide for a block's shared memory.
        """
        dim = self.quantizer.codebook_dim
        for size, shared in _fitting(frames, multiprocessors, lambda size: nearest_shared(size, dim)):
            return Search(f"nearest_{size}", size, shared, 0)
        raise EngineError(
            f"the quantiser has entries of {dim} dimensions; the cuda engine has room for "
            "about 24 000: use engine='native'"
        )


def of_quantizer(kept: Kept, quantizer: Quantizer, tensors: Tensors) -> Levels | Books:
    """A quantiser of either distance."""
    return (Books if quantizer.distance == Distance.EUCLIDEAN else Levels)(kept, quantizer, tensors)


def _fitting(frames: int, multiprocessors: int, shared_of: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """Frames of a block, the best number first, each with the shared memory that it takes, if a block has as much."""
    for size in (8, 1) if frames > 2 * multiprocessors else (1,):
        if (shared := shared_of(size)) <= SHARED:
            yield size, shared


def nearest_shared(frames: int, dim: int) -> int:
    """Bytes of shared memory of a block of nearest.cuh."""
    return 4 * (up(frames * dim, 4) + 2 * frames * THREADS)


def half_squares(codebook: Array) -> Array:
    """−|entry|²/2 ``[size]``: in double precision, squares in order, rounded once."""
    halves: Array = (-_squares(codebook.astype(np.float64)) / 2.0).astype(np.float32)
    return halves


def _squares(exact: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    squares = np.zeros(len(exact))
    for d in range(exact.shape[1]):
        squares = squares + exact[:, d] * exact[:, d]
    return squares


def search_shared(frames: int, latent: int, dim: int, slab: int) -> int:
    """Bytes of shared memory of a block of quantise.cuh."""
    return 4 * (frames * (up(latent, 4) + 2 * THREADS) + 3 * up(frames * dim, 4) + SLABS * slab * dim)


def unit_entries(codebook: Array) -> Array:
    """``[size, dim]`` brought to length 1: in double precision, squares in order, rounded once."""
    exact = codebook.astype(np.float64)
    unit: Array = (exact / np.maximum(np.sqrt(_squares(exact)), 1e-12)[:, None]).astype(np.float32)
    return unit
