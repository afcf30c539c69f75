"""The items that a live source becomes: frames of codes, gaps, the end. And how a source is iterated.

Knows: these values, and that a source can be iterated once. Does not know: queues, clocks, sources, codecs.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import StreamClosedError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Codes of one or more consecutive frames.

    ``==`` compares identities, because codes are an array. Compare ``index`` and ``codes`` instead.
    """

    index: int  #: of the first frame; indices continue through gaps, so none is missing or repeated
    time: float  #: seconds from the source's first sample to this frame's first sample, on the source's clock
    codes: npt.NDArray[np.int64]  #: ``[K, n]``, n ≥ 1

    def __repr__(self) -> str:
        levels, count = self.codes.shape
        return f"Frames(index={self.index}, time={self.time:.6f}, codes=[{levels}, {count}])"


@dataclasses.dataclass(frozen=True)
class Gap:
    """Samples that were lost before they could be encoded. The source yields it, and it comes out among the frames."""

    position: int  #: index of the first lost sample, at the source's rate; earlier lost samples count
    samples: int  #: how many, at the source's rate
    reason: str  #: in words, for people


class End(enum.Enum):
    """The type of `END`, so that type checkers can tell it from an item: ``if item is END``."""

    END = "end"

    def __repr__(self) -> str:
        return "streamrvq.END"


#: The last item of a queue. It comes once.
END: Final[Literal[End.END]] = End.END


async def each(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Iterate any iterable asynchronously, for callers that accept both kinds."""
    for item in items:
        yield item


class OnePass(Generic[T]):
    """What a generator gives, as an asynchronous iterator that ends only where the generator does.

    A cancellation that passes through a generator closes it, and whoever read on would take that for the end.

    Args:
        items: the generator.
        cancelled: what `StreamClosedError` says after a cancellation.
    """

    def __init__(self, items: AsyncGenerator[T, None], cancelled: str) -> None:
        self._items, self._cancelled, self._over = items, cancelled, False

    def __aiter__(self) -> OnePass[T]:
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StreamClosedError(self._cancelled)
        try:
            return await anext(self._items)
        except Exception:  # the end, or what the reader is told
            raise
        except BaseException:
            self._over = True
            raise

    async def aclose(self) -> None:
        """Close the generator. It may be closed more than once."""
        await self._items.aclose()
