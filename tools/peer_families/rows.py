"""What is timed, by turns, and its tables: times, and how often ours goes into each peer's.

Knows: times of rounds. Does not know: codecs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal

Way = Literal["encode", "decode"]
Mode = Literal["hop by hop", "in bulk"]


@dataclasses.dataclass
class Row:
    """One codec in one direction.

    Attributes:
        name, runtime: as the table has them.
        way, mode: what it does with all of the audio.
        run: does it once; None: it cannot, and ``note`` says why.
        ours: whether it is this package.
        seconds: of each round.
    """

    name: str
    runtime: str
    way: Way
    mode: Mode
    run: Callable[[], object] | None
    note: str = ""
    ours: bool = False
    seconds: list[float] = dataclasses.field(default_factory=list)

    def turn(self) -> None:
        """Run once, and note the time."""
        if self.run is None:
            return
        start = time.perf_counter()
        self.run()
        self.seconds.append(time.perf_counter() - start)


@dataclasses.dataclass(frozen=True)
class Bar:
    """What ours is wanted to reach: ``times`` the fastest peer's speed in ``against``."""

    mode: Mode
    against: Mode
    times: float


def ratio(ours: Row, peer: Row) -> float:
    """How often the time of ours goes into the peer's: the median of the rounds' ratios."""
    return median(theirs / own for own, theirs in zip(ours.seconds, peer.seconds, strict=True))


def times_table(rows: Sequence[Row], audio: float) -> str:
    """RTF of each row in Markdown, or why there is none."""
    lines = ["| codec | runtime | | | RTF |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        figure = f"{median(row.seconds) / audio:.4f}" if row.seconds else "–"
        name = f"{row.name} ({row.note})" if row.note else row.name
        lines.append(f"| {name} | {row.runtime} | {row.way} | {row.mode} | {figure} |")
    return "\n".join(lines)


def bars_table(rows: Sequence[Row], bars: Sequence[Bar]) -> str:
    """Ours beside the fastest peer that could be run, for each direction and bar."""
    lines = ["| ours | fastest peer | × | wanted | |", "| --- | --- | --- | --- | --- |"]
    for bar in bars:
        for way in ("encode", "decode"):
            ours = next(row for row in rows if row.ours and (row.way, row.mode) == (way, bar.mode))
            peers = [r for r in rows if not r.ours and r.seconds and (r.way, r.mode) == (way, bar.against)]
            if not peers:
                lines.append(f"| {way}, {bar.mode} | none could be run | – | {bar.times:g} | not measured |")
                continue
            fastest = min(peers, key=lambda peer: ratio(ours, peer))
            found = ratio(ours, fastest)
            verdict = "met" if found >= bar.times else "not met"
            lines.append(
                f"| {way}, {bar.mode} | {fastest.name}, {bar.against} | {found:.2f} | {bar.times:g} | {verdict} |"
            )
    return "\n".join(lines)
