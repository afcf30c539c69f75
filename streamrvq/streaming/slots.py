"""Which stream is in which slot of a pool.

A slot without a row is free: to take one and to free one is one store each. What else is kept here about slots may lag
behind after an exception such as KeyboardInterrupt, and is put right when it is met.

Knows: rows, generations, rotation. Does not know: steps, engines, what the streams are given.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PoolError
from .batches import Row, StreamId


class Slots:
    """``count`` slots, all free.

    Attributes:
        rows: each slot's stream.
    """

    def __init__(self, count: int) -> None:
        self.rows: list[Row | None] = [None] * count
        self._taken: set[int] = set()  # the slots with a row, so that a large pool with few streams costs little
        self._generations = [0] * count  # of each slot's next stream

    @property
    def generations(self) -> tuple[int, ...]:
        """Each slot's next generation."""
        return tuple(self._generations)

    @generations.setter
    def generations(self, values: Sequence[int]) -> None:
        self._generations = list(values)

    @property
    def streams(self) -> list[Row]:
        """All that are there, also closed ones whose outputs are not all taken."""
        return [row for slot in self._taken if (row := self.rows[slot]) is not None]

    def next_free(self, batch_out: bool) -> int:
        """The first free slot. Raises `PoolError` if there is none."""
        for slot, row in enumerate(self.rows):
            if row is None or row.is_left(batch_out):
                return slot
        raise PoolError(f"all {len(self.rows)} slots are taken; close a stream first or make a larger pool")

    def next_id(self, slot: int) -> StreamId:
        """The name of a free slot's next stream."""
        return StreamId(slot, self._generations[slot])

    def put(self, slot: int, row: Row) -> None:
        """A free slot's next stream. It is there with the last act."""
        self._generations[slot] = row.generation + 1
        self._taken.add(slot)
        self.rows[slot] = row

    def free(self, slot: int) -> None:
        """The slot may be given out again."""
        self.rows[slot] = None
        self._taken.discard(slot)

    def find(self, stream: StreamId) -> Row | None:
        """A stream's row, if the slot is still its own."""
        row = self.rows[stream.slot] if 0 <= stream.slot < len(self.rows) else None
        return None if row is None or row.generation != stream.generation else row

    def get(self, stream: StreamId) -> Row:
        """A stream's row. Raises `PoolError` if the stream has ended."""
        row = self.find(stream)
        if row is None or row.dropped:
            raise PoolError(f"{stream} has ended; open a new stream")
        return row

    def id(self, slot: int) -> StreamId:
        """The name of the stream in a slot."""
        row = self.rows[slot]
        assert row is not None  # as in every slot that was chosen
        return StreamId(slot, row.generation)

    def with_work(self, first: int) -> tuple[list[int], list[int]]:
        """The slots that have a hop, and those that have come to their end, in rotation from ``first`` on.

        No batch is out: so no row is in flight, whatever an interrupted call has left.
        """
        chosen: list[int] = []
        ended: list[int] = []
        for slot in sorted(self._taken, key=lambda slot: (slot - first) % len(self.rows)):
            row = self.rows[slot]
            if row is None or row.dropped:
                self.free(slot)
                continue
            row.in_flight = False
            if row.timeline.ready > 0:
                chosen.append(slot)
            elif row.timeline.length >= 0:
                ended.append(slot)
        return chosen, ended

    def together(self, chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        """Those of the chosen slots that one step can move, the first of them among them, and the others.

        A step moves all its streams by the same hops, and a first step may need several (`Plan.first`). No stream of
        the result needs more than the first one.
        """
        rows = {slot: row.timeline for slot in chosen if (row := self.rows[slot]) is not None}
        if not rows:
            return [], []
        hops = next(iter(rows.values())).least
        fitting = [slot for slot, timeline in rows.items() if timeline.least <= hops <= timeline.ready]
        return fitting, [slot for slot in rows if slot not in fitting]
