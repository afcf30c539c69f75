"""What comes out of a live source: frames of codes, gaps, the end.

Knows: three values. Does not know: queues, clocks, sources, codecs.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Codes of one or more frames, in the order in which they were spoken.

    Not comparable with ``==``, for codes are an array: compare ``index`` and ``codes`` by themselves.
    """

    index: int  #: of the first frame; it counts on through gaps, so no index is missing and none comes twice
    time: float  #: seconds from the source's first sample to this frame's first sample, on the source's clock
    codes: npt.NDArray[np.int64]  #: ``[K, n]``, n ≥ 1

    def __repr__(self) -> str:
        levels, count = self.codes.shape
        return f"Frames(index={self.index}, time={self.time:.6f}, codes=[{levels}, {count}])"


@dataclasses.dataclass(frozen=True)
class Gap:
    """Samples that were lost before they could be encoded. A source yields it, and it comes out among the frames."""

    position: int  #: index of the first lost sample at the source's rate, lost samples counted
    samples: int  #: how many, at the source's rate
    reason: str  #: in words, for people


class End(enum.Enum):
    """The type of `END`, so that type checkers can tell it from an item: ``if item is END``."""

    END = "end"

    def __repr__(self) -> str:
        return "streamrvq.END"


#: The last thing on a queue of items. It comes once.
END: Final[Literal[End.END]] = End.END


async def each(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Any iterable as an asynchronous one, for those who take both."""
    for item in items:
        yield item
