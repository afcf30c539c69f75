"""A bounded set of things that wait. When it is full, the newest gets room.

Who has to go is the oldest of the address that has the most. So one address cannot keep the others out.

Knows: order, groups, since when each waits. Does not know: what waits, clocks (the time is passed in).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """Things that wait, oldest first.

    Args:
        most: how many may wait, at least 1.
        most_of_one: how many of one group.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._known: dict[T, tuple[str, float]] = {}
        self._groups: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._known))

    def add(self, item: T, group: str, now: float) -> T | None:
        """Add something; returns what has to go for it, if anything has. That is no longer in the set.

        Args:
            item: not in the set yet.
            group: whose it is, see `addresses.address_group`.
            now: the time, in seconds.
        """
        gone = None
        if len(self._groups.get(group, ())) >= self._most_of_one:
            gone = next(iter(self._groups[group]))
            self.remove(gone)
        elif len(self._known) >= self._most:
            gone = self.make_room()
        self._known[item] = (group, now)
        self._groups.setdefault(group, {})[item] = None
        return gone

    def make_room(self) -> T | None:
        """Remove and return the oldest of the group that has the most; None where nothing waits."""
        gone = self._next()
        if gone is not None:
            self.remove(gone)
        return gone

    def _next(self) -> T | None:
        if not self._groups:
            return None
        largest = max(self._groups, key=lambda group: len(self._groups[group]))
        return next(iter(self._groups[largest]))

    def shortest_stay(self, now: float) -> float:
        """Seconds that the one who has to go for the next has been here; infinity where there is room."""
        gone = self._next() if len(self._known) >= self._most else None
        return float("inf") if gone is None else now - self._known[gone][1]

    def remove(self, item: T) -> bool:
        """Remove something. Returns whether it was there."""
        known = self._known.pop(item, None)
        if known is None:
            return False
        group = self._groups[known[0]]
        del group[item]
        if not group:
            del self._groups[known[0]]
        return True

    def late(self, before: float) -> list[T]:
        """Remove and return everything that has waited since before that time, in seconds."""
        late = [item for item, (_, since) in self._known.items() if since < before]
        for item in late:
            self.remove(item)
        return late
