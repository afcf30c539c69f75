"""The display of `mic`: the level, the codes as a heat strip, and the latency of each part.

On a terminal it is one moving picture as wide as that, also after a resize; elsewhere it is one line a second.

Knows: rich. Does not know: where levels, codes and figures come from.
"""

from __future__ import annotations

import colorsys
import time
from collections import deque

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from ...engine.base import Codes
from ...live.latency import LatencyBudget
from ..common import out

#: Pictures a second on a terminal, and lines a second elsewhere.
PICTURES, LINES = 10, 1
_LOWEST = -60.0  # dB, at the left end of the level meter
_MOST_COLUMNS = 1024  # of the strip
_LABEL = 8  # columns before the meter and the strip
_SHADES = "▁▂▃▄▅▆▇█"  # of codes, where there are no colours


class MicView:
    """The display, which is shown until `close`. For one thread at a time.

    Args:
        head: the first line.
        size: entries of a codebook.
    """

    def __init__(self, head: str, size: int) -> None:
        self._console, self._size, self._head = out(), size, head
        self._moving = self._console.is_terminal and not self._console.is_dumb_terminal
        self._colours = self._console.color_system is not None and not self._console.no_color
        self._columns: deque[Codes] = deque(maxlen=_MOST_COLUMNS)
        self._remarks: deque[str] = deque(maxlen=5)  # the latest, which a resize must not take away
        self._next = 0.0
        self._begin()

    def _begin(self) -> None:
        self._console.print(self._head, markup=False)
        for text in self._remarks:
            self._console.print(text, style="yellow", markup=False)
        self._window = self._console.size
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._moving:
            self._live.start()

    def remark(self, text: str) -> None:
        """Print a line that stays."""
        self._remarks.append(text)
        self._live.console.print(text, style="yellow", markup=False)

    def close(self) -> None:
        """Remove the picture."""
        if self._moving:
            self._live.stop()

    def codes(self, codes: Codes) -> None:
        """Add the newest frames ``[K, n]``."""
        self._columns.extend(codes.T[-_MOST_COLUMNS:])

    @property
    def due(self) -> bool:
        """Whether it is time for `show`."""
        return time.monotonic() >= self._next

    def show(self, rms: float, peak: float, status: str, budget: LatencyBudget) -> None:
        """Draw a new picture or print a line. ``rms`` and ``peak`` are those of the latest samples; 1 is full scale."""
        self._next = time.monotonic() + 1 / (PICTURES if self._moving else LINES)
        if self._moving:
            if self._console.size != self._window:
                # Some terminals have broken the old lines anew, others have cut them: only a clear one is certain.
                self._live.stop()
                self._console.clear()
                self._begin()
            table, text = latency_table(budget, self._window.width), Text(status)
            below = len(text.wrap(self._console, self._window.width)) + table.row_count + 1
            room = self._window.height - below - 3  # the level, the head, the cursor's line
            self._live.update(Group(self._level(rms, peak), self._strip(room), text, table), refresh=True)
        elif self._columns:
            newest = " ".join(str(code) for code in self._columns[-1])
            self._console.print(f"{status}  level {decibels(rms):.0f} dB  codes {newest}")

    def _level(self, rms: float, peak: float) -> Text:
        now, clipped = decibels(rms), "clipped" if peak >= 0.999 else ""
        long, short = f"  {now:5.1f} dB, peak {decibels(peak):5.1f} dB  {clipped:7}", f" {now:4.0f} dB {clipped:7}"
        room = self._window.width - _LABEL
        text = long if room - len(long) >= 12 else short
        width = max(1, min(60, room - len(text)))
        filled = round(width * (1 - max(now, _LOWEST) / _LOWEST))
        colour = "red" if peak >= 0.99 else "yellow" if peak > 0.7 else "green"
        return Text.assemble(
            "level   ", ("█" * filled, colour), ("·" * (width - filled), "dim"), text, no_wrap=True, overflow="crop"
        )

    def _strip(self, room: int) -> Group:
        """A row for each codebook, a column for each frame with the newest on the right, a hue for each code.

        Where there is room for fewer rows, the finest codebooks are left out, and counted.
        """
        levels = len(self._columns[-1]) if self._columns else 0
        shown = levels if levels <= room else max(1, room - 1)
        frames = list(self._columns)[-max(1, self._window.width - _LABEL) :]
        rows = []
        for level in range(shown):
            row = Text(f"code {level:2d} ", no_wrap=True, overflow="crop")
            for frame in frames:
                part = int(frame[level]) / self._size
                if self._colours:
                    row.append("█", style=_colour(part))
                else:
                    row.append(_SHADES[int(part * len(_SHADES))])
            rows.append(row)
        if shown < levels:
            rows.append(Text(f"{levels - shown} finer codebooks are not shown", no_wrap=True, overflow="crop"))
        return Group(*rows)


def latency_table(budget: LatencyBudget, width: int) -> Table:
    """The parts of the latency, their sum, and the measured whole, in milliseconds; on end where ``width`` is short."""
    p50, p99 = budget.shown("p50"), budget.shown("p99")
    names = ["= sum" if name == "sum" else name for name in p50]
    table = Table("ms", *(Column(name, justify="right") for name in names), box=None, header_style="bold")
    for name, figures in (("p50", p50), ("p99", p99)):
        table.add_row(name, *map(_ms, figures.values()))
    if Measurement.get(console := out(), console.options.update(max_width=1000), table).maximum <= width:
        return table
    table = Table("ms", *(Column(name, justify="right") for name in ("p50", "p99")), box=None, header_style="bold")
    for row in zip(names, p50.values(), p99.values(), strict=True):
        table.add_row(row[0], *map(_ms, row[1:]))
    return table


def latency_words(budget: LatencyBudget) -> str:
    """What the table's figures are, and why its last two columns differ."""
    return (
        "The sum adds the parts, each at its own p50 or p99. Measured is each frame, from the capture of its last "
        "sample to the queue. The two differ: the device, the resampler and the lookahead count with the most that "
        "they hold back, parts seldom peak together, and where the machine stalls, several blocks wait at once. "
        f"A frame's first sample is a hop older than its last: {1e3 * budget.hop:.1f} ms."
    )


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale; at least −120."""
    return float(20 * np.log10(max(amplitude, 1e-6)))


def _ms(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.1f}"


def _colour(hue: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.9)
    return f"rgb({int(255 * red)},{int(255 * green)},{int(255 * blue)})"
