"""The tiles that the convolutions were compiled for, and which of them a layer of a step takes.

Knows: kernels/tiles.inc, and what each tile costs. Does not know: layers, devices. A tile changes no bits:
it chooses which outputs are computed together.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ...errors import EngineError

LIST = Path(__file__).parent / "kernels" / "tiles.inc"
#: Bytes of shared memory that a block may have on every GPU that the kernels run on.
SHARED = 99 << 10


class Cycles(NamedTuple):
    """What a tile costs a multiprocessor, in cycles."""

    alone: float  #: a depth of one block, if no other hides its latency
    start: float  #: that block's beginning and end
    busy: float  #: a depth of each block, if there are many
    end: float  #: each one's results, if there are many
    join: float  #: the same again, if something is joined to them


#: Fitted to times of every layer of dac-44khz at 1, 8, 64, 512 and 2048 rows · hops on an H200, at 1980 MHz. Only
#: ratios matter. `tools/gpu-check --parts tile-times` prints the time of the tiles that are chosen beside the best.
CYCLES = {
    "square": Cycles(99.5, 19307, 46.0, 2445, 1683),
    "deep": Cycles(102.2, 18876, 49.2, 2503, 2768),
    "wide": Cycles(106.5, 20502, 91.1, 5865, 1717),
    "third": Cycles(141.3, 29665, 69.3, 4930, 4265),
    "third16": Cycles(140.8, 28940, 71.0, 4204, 4418),
    "sixth": Cycles(119.8, 23361, 54.5, 2505, 2539),
    "block": Cycles(103.2, 14233, 51.2, 1756, 2128),
    "half": Cycles(56.8, 10432, 28.1, 307, 1548),
    "thin": Cycles(33.8, 9379, 16.0, 699, 427),
    "low": Cycles(32.1, 9286, 16.4, 348, 926),
    "tiny": Cycles(18.1, 8528, 11.0, 1056, 488),
    "few": Cycles(16.1, 5156, 3.7, 343, 247),
    # Not measured: for layers that the others cannot compute.
    "square4": Cycles(110, 20000, 56, 3000, 2500),
    "thin4": Cycles(40, 9400, 20, 700, 430),
    "few4": Cycles(20, 5200, 5, 350, 250),
    "square1": Cycles(160, 20000, 80, 3000, 2500),
    "few1": Cycles(30, 5200, 8, 350, 250),
}


@dataclasses.dataclass(frozen=True)
class Tile:
    """A line of tiles.inc; `kernels/conv.cuh` says what each number is."""

    name: str
    more: bool  #: there is a kernel that has all activations and scales what it joins, too
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
    early: bool  #: reads what the next depth needs while one is computed

    @property
    def kernel(self) -> str:
        return f"conv_{self.name}"

    @property
    def kernel_more(self) -> str:
        """Of the tiles that have ``more``; its parameters are `structs.Scaled`."""
        return f"conv_more_{self.name}"

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
        behind = self.columns if self.early else 0  # read, and not used
        stage = self.rows * (self.depth + 4) + self.depth * self.columns + behind
        return 4 * max(self.stages * stage, self.rows * (self.columns + 8))

    def fits(self, depth: int, aligned: bool) -> bool:
        """Whether it can compute taps of ``depth`` numbers; ``aligned``: rows and taps begin at multiples of 4."""
        if self.vector == 4 and not (aligned and depth % 4 == 0):
            return False
        return self.ragged or depth % self.depth == 0

    def cycles(self, rows: int, columns: int, depth: int, joined: bool, multiprocessors: int) -> float:
        """An estimate of the time of a whole layer whose window is ``depth`` numbers.

        The busiest multiprocessor computes so many blocks at a time, one group after another. A group takes as long as
        one block alone, or as all of its arithmetic, whichever is more.
        """
        cost = CYCLES[self.name]
        each = depth * cost.busy + cost.end + (cost.join if joined else 0)
        groups, rest = divmod(-(-(-(-rows // self.rows) * -(-columns // self.columns)) // multiprocessors), self.blocks)
        alone = depth * cost.alone + cost.start
        return groups * max(alone, self.blocks * each) + (max(alone, rest * each) if rest else 0)


@cache
def tiles() -> tuple[Tile, ...]:
    """All of them, in the order of tiles.inc."""
    lines = re.findall(r"^(?:LARGE|SMALL)_TILE\((\w+),([^)]*)\)", LIST.read_text(encoding="utf-8"), re.MULTILINE)
    found = []
    for name, numbers in lines:
        more, tm, tn, lm, ln, wm, wn, depth, stages, vector, ragged, blocks, unroll, early = map(
            int, numbers.split(",")
        )
        sizes = tm, tn, lm, ln, wm, wn, depth, stages, vector
        found.append(Tile(name, bool(more), *sizes, bool(ragged), blocks, unroll, bool(early)))
    return tuple(found)


def choose(
    rows: int, columns: int, taps: int, depth: int, aligned: bool, multiprocessors: int, joined: bool = False,
    among: Sequence[Tile] | None = None, more: bool = False,
) -> Tile:  # fmt: skip
    """The tile with the least estimate for a layer of ``rows`` rows, ``taps`` taps of ``depth`` numbers.

    Args:
        more: only tiles that have it.

    Raises:
        EngineError: no tile fits.
    """
    fitting = [tile for tile in (among if among is not None else tiles()) if tile.fits(depth, aligned)]
    fitting = [tile for tile in fitting if tile.more or not more]
    if not fitting:
        raise EngineError(f"no tile computes taps of {depth} numbers; kernels/tiles.inc needs one that does")
    return min(fitting, key=lambda tile: tile.cycles(rows, columns, taps * depth, joined, multiprocessors))
