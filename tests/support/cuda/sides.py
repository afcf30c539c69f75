"""Engines side by side through the contract, and a tile that computes all that it can.

Knows: the contract of engine/base.py. Does not know: what is asserted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from streamrvq.config import Config
from streamrvq.engine.base import Engine
from streamrvq.engine.cuda import products
from streamrvq.engine.cuda.tiles import Tile, choose
from streamrvq.geometry import Direction


class Side:
    """One engine with streams of one direction, and what it has given."""

    def __init__(self, engine: Engine, direction: Direction, slots: int) -> None:
        self.engine, self.direction, self.states = engine, direction, engine.new_states(slots, direction)

    def step(self, data: Any, slots: list[int], clock: Any, length: Any, latents: bool = False) -> list[Any]:
        where = np.array(slots), np.array(clock), np.array(length)
        if self.direction == "encode":
            codes, inner = self.engine.encode_step(data, self.states, *where, 3, latents)
            return [codes, *([] if inner is None else [inner])]
        return [self.engine.decode_step(data, self.states, *where)]

    def exported(self) -> list[Any]:
        return [h for slot in range(self.states.slots) for h in self.engine.export_state(self.states, slot)]


def inputs(config: Config, direction: Direction, rows: int, hops: int, rng: np.random.Generator) -> Any:
    if direction == "encode":
        return (0.3 * rng.standard_normal((rows, hops * config.hop_length))).astype(np.float32)
    return rng.integers(-1, config.codebook_size, (rows, 3, hops))


@contextlib.contextmanager
def tile_taken(tile: Tile) -> Iterator[set[str]]:
    """The tile computes each product that it fits; names of it in what is given say that it did: plain, and "more"."""

    def chosen(
        rows: int, columns: int, taps: int, depth: int, aligned: bool, multiprocessors: int, joined: bool = False,
        *, more: bool = False,
    ) -> Tile:  # fmt: skip
        if tile.fits(depth, aligned) and (tile.more or not more):
            used.add(tile.kernel_more if more else tile.name)
            return tile
        return choose(rows, columns, taps, depth, aligned, multiprocessors, more=more)

    used: set[str] = set()
    with mock.patch.object(products, "choose", chosen):
        yield used
