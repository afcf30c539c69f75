"""``tools/train_release --curve``: what more training is worth, by the record of the runs so far.

A power law of the mel distance in all the seconds of audio trained on, fitted to the judged weights, and what it
expects of the next CPU hour and the next ten minutes on a GPU. Only weights that ``tools/quality`` judged are points:
they are ends of runs, after the fall of the rate, and all on the same clips.

Knows: the record (record.py), arithmetic. Does not know: training, judging.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CPU_SECONDS, _CARD_SECONDS = 3600.0, 600.0  #: that are planned


class CurveError(Exception):
    """A record without a curve."""


@dataclass(frozen=True)
class Point:
    """Judged weights: the seconds of audio of all runs up to them, where the last run was, and their mel distance."""

    seconds: float
    device: str
    mel: float


@dataclass(frozen=True)
class Law:
    """``mel = scale · seconds^slope``, the straight line of least squares in logarithms.

    ``spread`` is the standard error of a point about it, relative; None with two points, which always lie on it.
    """

    scale: float
    slope: float
    spread: float | None
    points: tuple[Point, ...]

    def __call__(self, seconds: float) -> float:
        return self.scale * math.pow(seconds, self.slope)

    def error(self, seconds: float) -> float | None:
        """The standard error of a new point at ``seconds``, relative: of the line and of the point about it."""
        if self.spread is None:
            return None
        x = np.log([point.seconds for point in self.points])
        away = (math.log(seconds) - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        return float(self.spread * math.sqrt(1 + 1 / len(x) + away))


def points(runs: Sequence[Mapping[str, Any]]) -> tuple[list[Point], list[str]]:
    """The judged weights of a record, and the hashes of those that were judged on another number of clips.

    The audio of runs that were not judged counts in those that follow.
    """
    judged = [run["judged"]["clips"] for run in runs if "judged" in run]
    found, other, seconds = [], [], 0.0
    for run in runs:
        seconds += run["audio_seconds"]
        if "judged" in run and run["judged"]["clips"] == judged[-1]:
            found.append(Point(seconds, _device(run), run["judged"]["mel"]))
        elif "judged" in run:
            other.append(run["codec_hash"][:12])
    return found, other


def fit(found: Sequence[Point]) -> Law:
    """The law of some points.

    Raises:
        CurveError: they are fewer than two.
    """
    if len(found) < 2:
        raise CurveError(
            f"the record has {len(found)} judged runs; wanted two or more: tools/train_release --land judges one"
        )
    x, y = np.log([point.seconds for point in found]), np.log([point.mel for point in found])
    slope, offset = np.polyfit(x, y, 1)
    left = float(((y - slope * x - offset) ** 2).sum())
    spread = math.sqrt(left / (len(found) - 2)) if len(found) > 2 else None
    return Law(math.exp(offset), float(slope), spread, tuple(found))


def lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What ``--curve`` prints. Raises `CurveError`."""
    found, other = points(runs)
    law = fit(found)
    judged = [run["judged"]["clips"] for run in runs if "judged" in run][-1]
    text = [f"Mel distance on {judged} clips by the seconds of audio of all runs:", "",
            "| audio, s | last run on | mel | by the law | slope from the point before |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    slopes = [fit(pair).slope for pair in itertools.pairwise(found)]
    for point, slope in zip(found, ["", *(f"{slope:.3f}" for slope in slopes)], strict=True):
        text.append(f"| {point.seconds:.0f} | {point.device} | {point.mel:.2f} | {law(point.seconds):.2f} | {slope} |")
    text += ["", f"mel = {law.scale:.2f} · seconds^{law.slope:.3f}, least squares in logarithms, {len(found)} points."]
    if law.spread is None:
        text.append("Two points always lie on such a line: nothing says how far off it is.")
    else:
        text.append(f"A point is off by {100 * law.spread:.1f} % (standard error), and ± below is that of a new point.")
    text += [
        "The points are few, and of runs that differ in their sets, machines, batches and rates.",
        "Beyond the last point both columns are guesses: one by all points, one by the slope of the last two alone.",
        "", "| | audio, s | mel by the law | from the last point, by the last slope |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    now, total = found[-1], sum(run["audio_seconds"] for run in runs)
    for name, more in [("so far", 0.0), *_plans(runs)]:
        seconds = total + more
        error = law.error(seconds)
        about = "" if error is None else f" ± {law(seconds) * error:.2f}"
        last = now.mel * (seconds / now.seconds) ** slopes[-1]
        text.append(f"| {name} | {seconds:.0f} | {law(seconds):.2f}{about} | {last:.2f} |")
    if other:
        text += ["", f"Left out, for they were judged on another number of clips: {', '.join(other)}."]
    return text


def _plans(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """What could be done next, and the seconds of audio of it, at the speed of the last run on such a machine."""
    plans = []
    if cpu := [run for run in runs if _device(run) == "CPU" and run["hours"]]:
        speed = _speed(cpu[-1])
        plans.append((f"the next CPU hour, {speed:.1f} s a second", speed * _CPU_SECONDS))
    if card := [run for run in runs if _device(run) != "CPU" and run["hours"]]:
        speed, idle = _speed(card[-1]), 0.0
        name = f"the next ten minutes on {_device(card[-1])}, {speed:.0f} s a second"
        if "machine_minutes" in card[-1]:  # of a borrowed machine alone it is known how long it did not train
            idle = 60 * card[-1]["machine_minutes"] - 3600 * card[-1]["hours"]
            name += f" but for the first {idle:.0f} s"
        plans.append((name, speed * max(0.0, _CARD_SECONDS - idle)))
    return plans


def _speed(run: Mapping[str, Any]) -> float:
    """Seconds of audio a second of training."""
    return float(run["audio_seconds"] / (3600 * run["hours"]))


def _device(run: Mapping[str, Any]) -> str:
    """Where a run was. One that does not say it was on this machine's CPU."""
    device: str = run.get("device", "cpu")
    return "CPU" if device.startswith("cpu") else device
