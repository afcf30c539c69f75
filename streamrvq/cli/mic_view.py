"""The display of `mic`: the level, the codes as a heat strip, and the latency of each part.

On a terminal it is one moving picture; elsewhere it is one line a second.

Knows: rich. Does not know: where levels, codes and figures come from.
"""

from __future__ import annotations

import colorsys
import time
from collections import deque

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..engine.base import Codes
from ..live.latency import LatencyBudget
from .common import out

#: Pictures a second on a terminal, and lines a second elsewhere.
PICTURES, LINES = 10, 1
_LOWEST = -60.0  # dB, at the left end of the level meter


class MicView:
    """The display, which is shown until `close`. For one thread at a time.

    Args:
        head: the first line.
        size: entries of a codebook.
    """

    def __init__(self, head: str, size: int) -> None:
        self._console, self._size = out(), size
        self._moving = self._console.is_terminal
        self._columns: deque[Codes] = deque(maxlen=max(16, self._console.width - 12))
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0
        self._console.print(head, markup=False)
        if self._moving:
            self._live.start()

    def remark(self, text: str) -> None:
        """Print a line that stays."""
        self._live.console.print(text, style="yellow", markup=False)

    def close(self) -> None:
        """Remove the picture."""
        if self._moving:
            self._live.stop()

    def codes(self, codes: Codes) -> None:
        """Add the newest frames ``[K, n]``."""
        self._columns.extend(codes.T[-(self._columns.maxlen or 1) :])

    @property
    def due(self) -> bool:
        """Whether it is time for `show`."""
        return time.monotonic() >= self._next

    def show(self, rms: float, peak: float, status: str, budget: LatencyBudget) -> None:
        """Draw a new picture or print a line. ``rms`` and ``peak`` are those of the latest samples; 1 is full scale."""
        self._next = time.monotonic() + 1 / (PICTURES if self._moving else LINES)
        if self._moving:
            picture = Group(self._level(rms, peak), self._strip(), Text(status), latency_table(budget))
            self._live.update(picture, refresh=True)
        elif self._columns:
            newest = " ".join(str(code) for code in self._columns[-1])
            self._console.print(f"{status}  level {decibels(rms):.0f} dB  codes {newest}")

    def _level(self, rms: float, peak: float) -> Text:
        width = max(16, min(60, self._console.width - 30))
        filled = round(width * (1 - max(decibels(rms), _LOWEST) / _LOWEST))
        colour = "red" if peak >= 0.99 else "yellow" if peak > 0.7 else "green"
        text = f"  {decibels(rms):5.1f} dB, peak {decibels(peak):5.1f} dB{'  clipped' if peak >= 0.999 else ''}"
        return Text.assemble("level   ", ("█" * filled, colour), ("·" * (width - filled), "dim"), text)

    def _strip(self) -> Group:
        """A row for each codebook, a column for each frame with the newest on the right, a hue for each code."""
        rows = []
        for level in range(len(self._columns[-1]) if self._columns else 0):
            row = Text(f"code {level:2d} ")
            for frame in self._columns:
                row.append("█", style=_colour(int(frame[level]) / self._size))
            rows.append(row)
        return Group(*rows)


def latency_table(budget: LatencyBudget) -> Table:
    """The parts of the latency, their sum, and the measured whole, in milliseconds."""
    table = Table(
        "ms", "device", "handover", "resampler", "lookahead", "compute", "= sum", "measured", "(a hop)",
        box=None, header_style="bold",
    )  # fmt: skip
    for name, handover, compute, total, measured in [
        ("p50", budget.handover_p50, budget.compute_p50, budget.sum_p50, budget.measured_p50),
        ("p99", budget.handover_p99, budget.compute_p99, budget.sum_p99, budget.measured_p99),
    ]:
        parts = [budget.device, handover, budget.resampler, budget.lookahead, compute, total, measured, budget.hop]
        table.add_row(name, *map(_ms, parts))
    return table


def decibels(amplitude: float) -> float:
    """An amplitude in dB of full scale; at least −120."""
    return float(20 * np.log10(max(amplitude, 1e-6)))


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.1f}"


def _colour(hue: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.9)
    return f"rgb({int(255 * red)},{int(255 * green)},{int(255 * blue)})"
