"""Two pictures: quality against kbit/s, and spectrograms of one clip.

Knows: matplotlib without a screen. Does not know: how the figures were measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.ticker import FixedLocator, NullLocator

from .clips import RATE, Samples
from .metrics import METRICS
from .report import Report, listened_to

_OURS, _OPUS, _ORIGINAL = "#1f6fb4", "#d1602a", "#777777"
_TICKS = (1, 2, 4, 8, 16, 24)


def curves(report: Report, path: Path) -> None:
    """A panel for each metric: the codec by number of codebooks, and Opus, over kbit/s. Bars are standard errors.

    There is no picture where nothing has a score, as where speech is measured on clips without speech.
    """
    names = [n for n in METRICS if any(n in row["scores"] for row in report["systems"] if row["kind"] != "original")]
    if not names:
        return
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.4 * columns, 3.4 * rows), squeeze=False, layout="tight")
    for place, axis in zip(names, axes.flat, strict=False):
        _panel(axis, report, place)
    for axis in list(axes.flat)[len(names) :]:
        axis.set_visible(False)
    axes.flat[0].legend(fontsize=8)
    figure.suptitle(f"{report['codec']['name']} and Opus: {listened_to(report)}", fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axis: pyplot.Axes, report: Report, name: str) -> None:
    metric = METRICS[name]
    for kind, label, colour in (("ours", report["codec"]["name"], _OURS), ("opus", "Opus", _OPUS)):
        points = sorted(
            ((row["kbps"], row["scores"][name], row["amount"]) for row in report["systems"]
             if row["kind"] == kind and name in row["scores"] and row["kbps"]),
            key=lambda point: float(point[0]),
        )  # fmt: skip
        if not points:
            continue
        x, y = [point[0] for point in points], [point[1]["mean"] for point in points]
        bars = [point[1].get("stderr") or 0.0 for point in points]
        axis.errorbar(x, y, bars, color=colour, label=label, marker="o", markersize=4, linewidth=1.5, capsize=2)
        if kind == "ours":
            for kbps, score, amount in points:
                axis.annotate(f"{amount}", (kbps, score["mean"]), xytext=(4, 4), textcoords="offset points", fontsize=7,
                              color=colour, ha="left")  # fmt: skip
    for row in report["systems"]:
        if row["kind"] == "original" and name in row["scores"] and metric.more_is_better:
            axis.axhline(row["scores"][name]["mean"], color=_ORIGINAL, linestyle=":", linewidth=1, label="original")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(_TICKS))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(tick) for tick in _TICKS])
    axis.set_xlabel("kbit/s", fontsize=8)
    axis.set_title(f"{metric.title} ({'more' if metric.more_is_better else 'less'} is better)", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def spectrograms(titles: Sequence[str], sounds: Sequence[Samples], path: Path, heading: str) -> None:
    """Spectrograms one below the other, 0 to 22 kHz, down to 90 dB below the original's peak."""
    figure, axes = pyplot.subplots(len(sounds), 1, figsize=(9, 1.75 * len(sounds)), sharex=True, squeeze=False,
                                   layout="constrained")  # fmt: skip
    top: float | None = None
    for axis, title, sound in zip(axes.flat, titles, sounds, strict=True):
        top = _spectrogram(axis, sound, top)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylabel("kHz", fontsize=8)
        axis.tick_params(labelsize=8)
    axes.flat[-1].set_xlabel("seconds", fontsize=8)
    figure.suptitle(heading, fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _spectrogram(axis: pyplot.Axes, sound: Samples, top: float | None) -> float:
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::256] * np.hanning(1024)
    decibels = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-6).T
    top = float(decibels.max()) if top is None else top
    extent = (0, len(sound) / RATE, 0, RATE / 2000)
    axis.imshow(decibels, origin="lower", aspect="auto", extent=extent, vmin=top - 90, vmax=top, cmap="magma",
                interpolation="nearest")  # fmt: skip
    return top
