"""The tiles that the convolutions were compiled for, and which of them a layer of a step takes.

Knows: kernels/tiles.inc, and an estimate of each tile's time. Does not know: layers, devices. A tile changes no bits:
it chooses which outputs are computed together.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...errors import EngineError

LIST = Path(__file__).parent / "kernels" / "tiles.inc"
#: Bytes of shared memory that a block may have on every card that the kernels run on.
SHARED = 99 << 10
#: The share of a multiprocessor's fused multiply-adds that a tile reaches, all else aside, measured on an H200.
EFFICIENCY = {"large": 0.78, "narrow": 0.76, "middle": 0.86, "thin": 0.70, "few": 0.55, "middle4": 0.80, "thin4": 0.65,
              "few4": 0.5, "middle1": 0.6, "few1": 0.4}  # fmt: skip
#: Numbers a cycle that a multiprocessor can read from the card's second cache.
READS = 6


@dataclasses.dataclass(frozen=True)
class Tile:
    """A line of tiles.inc; `kernels/conv.cuh` says what each number is."""

    name: str
    tm: int
    tn: int
    lm: int
    ln: int
    wm: int
    wn: int
    depth: int  #: of a stage
    stages: int
    vector: int  #: numbers of x that are copied at a time
    ragged: bool
    blocks: int  #: that a multiprocessor has registers for
    unroll: int

    @property
    def kernel(self) -> str:
        return f"conv_{self.name}"

    @property
    def rows(self) -> int:
        return self.tm * self.lm * self.wm

    @property
    def columns(self) -> int:
        return self.tn * self.ln * self.wn

    @property
    def threads(self) -> int:
        return 32 * self.wm * self.wn

    @property
    def shared(self) -> int:
        """Bytes of shared memory of a block."""
        stage = self.rows * (self.depth + 4) + self.depth * self.columns
        return 4 * max(self.stages * stage, self.rows * (self.columns + 8))

    def fits(self, depth: int, aligned: bool) -> bool:
        """Whether it can compute taps of ``depth`` numbers; ``aligned``: rows and taps begin at multiples of 4."""
        if self.vector == 4 and not (aligned and depth % 4 == 0):
            return False
        return self.ragged or depth % self.depth == 0

    def cycles(self, rows: int, columns: int, depth: int, multiprocessors: int) -> float:
        """An estimate of the time of a whole layer whose window is ``depth`` numbers.

        The largest of three: arithmetic of the busiest multiprocessor; one block's own chain of stages, where there are
        too few of them to hide it; reading x and w.
        """
        busiest = -(-(-(-rows // self.rows) * -(-columns // self.columns)) // multiprocessors)
        warps, reach = self.threads // 32, EFFICIENCY.get(self.name, 0.6)
        work = self.tm * self.tn * depth / reach
        alone = max(work * max(1, warps / 4), 4 * depth) + 60 * depth / self.depth + 3 * depth
        arithmetic = busiest * (work * warps / 4 + self.rows * self.columns / 5)
        reading = busiest * (self.rows + self.columns) * depth / READS
        return max(arithmetic, -(-busiest // self.blocks) * alone, reading)


@cache
def tiles() -> tuple[Tile, ...]:
    """All of them, in the order of tiles.inc."""
    lines = re.findall(r"^TILE\((\w+),([^)]*)\)", LIST.read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    for name, numbers in lines:
        tm, tn, lm, ln, wm, wn, depth, stages, vector, ragged, blocks, unroll = map(int, numbers.split(","))
        found.append(Tile(name, tm, tn, lm, ln, wm, wn, depth, stages, vector, bool(ragged), blocks, unroll))
    return tuple(found)


def choose(
    rows: int, columns: int, taps: int, depth: int, aligned: bool, multiprocessors: int,
    among: Sequence[Tile] | None = None,
) -> Tile:  # fmt: skip
    """The tile with the least estimate for a layer of ``rows`` rows, ``taps`` taps of ``depth`` numbers.

    Raises:
        EngineError: no tile fits.
    """
    fitting = [tile for tile in (among if among is not None else tiles()) if tile.fits(depth, aligned)]
    if not fitting:
        raise EngineError(f"no tile computes taps of {depth} numbers; kernels/tiles.inc needs one that does")
    return min(fitting, key=lambda tile: tile.cycles(rows, columns, taps * depth, multiprocessors))
