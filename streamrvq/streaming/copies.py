"""Copies of live streams and of pools, and their pickles.

A stream is copied by its snapshot: both go on by themselves from where it stands. A copy computes on the same engine. A
pickle takes the codec along, which is made again in the other process (`Codec` says how).

Knows: Python's copy protocol, and who made a stream. Does not know: what is in a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from ..engine.base import Engine
from ..errors import PoolError, SnapshotError
from ..geometry import Direction, Plan
from .slots import Slots
from .snapshot import Snapshot


class Maker(Protocol):
    """What makes streams and pools: a codec."""

    def stream(self, *, snapshot: Snapshot) -> Any: ...

    def decoder_stream(self, *, snapshot: Snapshot) -> Any: ...

    def pool(self, slots: int, direction: Direction, max_hops: int) -> Any: ...


class _Made:
    _maker: Maker | None = None

    def made_by(self, codec: Maker) -> Self:
        """This object, which knows from now on that ``codec`` made it."""
        self._maker = codec
        return self


class CopiedBySnapshot(_Made):
    """A stream; its ``__init__`` takes an engine, a codec's hash and a snapshot.

    Copying and pickling raise what `snapshot` raises, and nothing changes.
    """

    _engine: Engine
    _codec_hash: str
    _direction: Direction
    snapshot: Callable[[], Snapshot]

    def __copy__(self) -> Self:
        make: Any = type(self)
        copied: Self = make(self._engine, self._codec_hash, snapshot=self.snapshot())
        copied._maker = self._maker
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self._maker is None:
            raise SnapshotError(
                f"this {type(self).__name__} was made without a codec, and a pickle needs one to go on with; open "
                "streams with codec.stream() or codec.decoder_stream(), or pickle stream.snapshot()"
            )
        return _resumed, (self._maker, self._direction, self.snapshot())


def _resumed(codec: Maker, direction: Direction, snapshot: Snapshot) -> Any:
    return (codec.stream if direction == "encode" else codec.decoder_stream)(snapshot=snapshot)


class _Pool(Protocol):
    _maker: Maker | None
    _max_hops: int
    _slots: Slots
    _plan: Plan

    @property
    def open_streams(self) -> int: ...

    @property
    def slots(self) -> int: ...


class CopiedEmpty(_Made):
    """A pool. It can be copied and pickled while no stream is open in it. What has ended has ended in the copy too."""

    def __reduce_ex__(self: _Pool, protocol: Any) -> tuple[Any, ...]:
        if self.open_streams:
            raise PoolError(
                f"a pool with {self.open_streams} open streams can be neither copied nor pickled; end them first, or "
                "open another pool with codec.pool() and new streams there"
            )
        if self._maker is None:
            raise PoolError("this pool was made without a codec, and a copy needs one; open pools with codec.pool()")
        return _opened, (self._maker, self.slots, self._plan.direction, self._max_hops, self._slots.generations)


def _opened(codec: Maker, slots: int, direction: Direction, max_hops: int, generations: Sequence[int]) -> Any:
    pool = codec.pool(slots, direction, max_hops)
    pool._slots.generations = generations
    return pool
