"""Quantisers: residual vector quantisers of any family, as levels in chains.

Knows: names of tensors, and sizes. Does not know: how the nearest entry is found.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator


class Distance(enum.IntEnum):
    """Which entry of a codebook is taken. In a tie it is that of the lowest index."""

    COSINE = 0  #: the one of the greatest cosine
    EUCLIDEAN = 1  #: the nearest


@dataclasses.dataclass(frozen=True)
class Level:
    """The names of one quantiser level's tensors in the state dict; None: its chain's latent is quantised as it is."""

    in_weight: str | None
    in_bias: str | None
    codebook: str
    out_weight: str | None
    out_bias: str | None


@dataclasses.dataclass(frozen=True)
class Chain:
    """Levels that follow one another: each quantises what those before it in the chain left over.

    Every chain begins with the encoder's latent, or with a projection of it, and what the chains give is added up.
    """

    levels: int  #: how many
    channels: int  #: of what is quantised
    in_weight: str | None = None  #: projects the latent, without a bias; None: it is quantised as it is
    out_weight: str | None = None  #: projects back


@dataclasses.dataclass(frozen=True)
class Quantizer:
    """A residual vector quantiser. DAC's levels project and compare cosines; others take the nearest entry itself."""

    levels: tuple[Level, ...]
    codebook_size: int  #: entries a level
    codebook_dim: int  #: dimensions of an entry
    latent_channels: int  #: channels of what is quantised
    distance: Distance = Distance.COSINE
    chains: tuple[Chain, ...] = ()  #: their levels are ``levels``, in order; none: all levels are one chain

    def runs(self, levels: int | None = None) -> Iterator[tuple[Chain, tuple[Level, ...]]]:
        """Each chain with its share of the first ``levels`` levels (default all); those without any are left out."""
        left = self.levels[:levels]
        for chain in self.chains or (Chain(len(self.levels), self.latent_channels),):
            if left:
                yield chain, left[: chain.levels]
            left = left[chain.levels :]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its tensors by name, in torch's layouts."""
        size, dim, shapes = self.codebook_size, self.codebook_dim, dict[str, tuple[int, ...]]()
        for chain, levels in self.runs():
            if chain.in_weight is not None:
                shapes[chain.in_weight] = (chain.channels, self.latent_channels, 1)
            if chain.out_weight is not None:
                shapes[chain.out_weight] = (self.latent_channels, chain.channels, 1)
            for level in levels:
                sides: tuple[tuple[str | None, tuple[int, ...]], ...] = (
                    (level.in_weight, (dim, chain.channels, 1)), (level.in_bias, (dim,)), (level.codebook, (size, dim)),
                    (level.out_weight, (chain.channels, dim, 1)), (level.out_bias, (chain.channels,)),
                )  # fmt: skip
                shapes |= {name: shape for name, shape in sides if name is not None}
        return shapes

    @property
    def tensor_names(self) -> list[str]:
        """Of all levels."""
        return list(self.shapes)

    def macs(self, levels: int | None = None) -> int:
        """Multiply-accumulates a frame of ``levels`` levels (default all): the projections and the distances."""
        count = 0
        for chain, levels_of_it in self.runs(levels):
            count += (
                self.latent_channels * chain.channels * ((chain.in_weight is not None) + (chain.out_weight is not None))
            )
            for level in levels_of_it:
                projections = (level.in_weight is not None) + (level.out_weight is not None)
                count += self.codebook_dim * (projections * chain.channels + self.codebook_size)
        return count
