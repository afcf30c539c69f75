"""What a run shows, for people and for programs, and whether it passed.

Knows: figures and the bars that they must pass. Does not know: how the figures were measured.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .latency import Latency, Shape, Spread
from .modes.realtime import Outcome
from .record import End
from .verify import Finding

_MIB = 2**20
#: The gather window, and what service and network may add to the step and to it. Seconds.
_GATHER, _ALLOWANCE = 0.002, 0.005


@dataclasses.dataclass(frozen=True)
class Check:
    """One requirement: what must hold, whether it does, and what was found."""

    name: str
    good: bool
    words: str


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures by name, of JSON types, and the checks."""

    title: str
    figures: dict[str, Any]
    checks: list[Check]

    @property
    def good(self) -> bool:
        """Whether every check passed."""
        return all(check.good for check in self.checks)

    def to_json(self) -> str:
        """The report as one JSON document."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        return json.dumps({"good": self.good, "checks": checks, **self.figures}, ensure_ascii=False)

    def show(self, console: Console) -> None:
        """Print the report as a table."""
        table = Table(title=self.title, show_header=False, title_justify="left")
        table.add_column(no_wrap=True)
        table.add_column()
        for name, value in self.figures.items():
            table.add_row(name.replace("_", " "), _words(value))
        table.add_section()
        for check in self.checks:
            table.add_row(check.name, f"[{'green' if check.good else 'bold red'}]{'yes' if check.good else 'NO'}[/]: "
                                      f"{check.words}")  # fmt: skip
        console.print(table)


def _words(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
        case dict():
            return ", ".join(f"{name} {_words(item)}" for name, item in value.items()) or "–"
        case list():
            return "; ".join(_words(item) for item in value) or "–"
        case _:
            return str(value)


def _ms(spread: Spread) -> dict[str, float | int | None]:
    thousand = {name: None if value is None else round(1000 * value, 2)
                for name, value in (("p50", spread.p50), ("p99", spread.p99), ("max", spread.most))}  # fmt: skip
    return {"frames": spread.frames, **thousand}


def live_report(
    title: str, where: dict[str, Any], run: Outcome, latency: Latency, found: Finding, exact: bool, shape: Shape,
    bound: bool,
) -> Report:  # fmt: skip
    """The report of a run at real-time pace. ``bound``: also require a latency within step + gather window + 5 ms."""
    first, last = run.usages[0], run.usages[-1]
    seconds, figures = last.time - first.time, run.figures
    streams = len([record for record in run.records if record.fault is None])
    audio = figures.get("audio_seconds_total", direction="encode")
    step_seconds = figures.get("step_seconds_sum", direction="encode")
    steps = figures.get("step_streams_count", direction="encode") or 1.0
    rows = figures.get("step_streams_sum", direction="encode")
    step_p99 = figures.percentile("step_seconds", 0.99, direction="encode")
    drops = [record for record in run.records if record.dropped]
    cpu = (last.cpu - first.cpu) / seconds
    kinds: dict[str, int] = {}
    for fault in run.faults:
        kinds[fault.kind] = kinds.get(fault.kind, 0) + 1
    moved = None if latency.move is None else latency.move / shape.hop_seconds
    worst = None if latency.worst_move is None else latency.worst_move / shape.hop_seconds
    values = {
        **where,
        "seconds": round(run.ended - run.began, 1),
        "streams": {"in_all": len(run.records), "untouched": streams,
                    "to_their_end": sum(record.end is End.DONE for record in run.records)},
        "audio_seconds": round(audio, 1),
        "codes": {"checked": found.codes, "wrong": found.wrong, "missing_frames": found.missing,
                  "surplus_frames": found.surplus},
        "faults": kinds,
        "resumed": sum(record.resumed for record in run.records),
        "drops": len(drops),
        "closes": run.closes,
        "latency_ms": _ms(latency.all),
        "latency_ms_near_faults": _ms(latency.near),
        "latency_ms_away_from_faults": _ms(latency.away),
        "p99_moved_by_hops": None if moved is None else round(moved, 3),
        "p99_of_one_stream_moved_by_hops": None if worst is None else round(worst, 3),
        "latency_p99_ms_by_period": [_ms(period)["p99"] for period in latency.periods],
        "server_latency_ms": {f"p{share}": _thousand(figures.percentile("latency_seconds", share / 100))
                              for share in (50, 99)},
        "step_ms": {"mean": round(1000 * step_seconds / steps, 3),
                    "p50": _thousand(figures.percentile("step_seconds", 0.5, direction="encode")),
                    "p99": _thousand(step_p99)},
        "streams_in_a_step": round(rows / steps, 2),
        "hops_in_a_step": round(audio / shape.hop_seconds / rows, 2) if rows else None,
        "rtf": round(step_seconds / audio, 5) if audio else None,
        "engine_load": round(step_seconds / seconds, 3),
        "server_cores": round(cpu, 3),
        "server_cpu_ms_per_audio_second": round(1000 * cpu * seconds / audio, 2) if audio else None,
        "load_cores": round(run.own_cpu, 3),
        "load_late_p99_ms": round(1000 * run.late, 2),
        "server_rss_mib": {"start": round(first.rss / _MIB, 1), "end": round(last.rss / _MIB, 1)},
        "server_fds": {"start": first.fds, "end": last.fds},
    }  # fmt: skip
    words = f"{found.codes} codes, {found.wrong} wrong, {found.missing} frames missing, {found.surplus} too many"
    checks = [
        Check("every code equals offline", found.codes > 0 and found.good(exact),
              f"{words}{'' if exact else ' (near-ties are allowed: torch, float32)'}. {found.first}".strip()),
        Check("no drop", not drops and not run.errors,
              "; ".join([*(f"stream {r.number} {r.end} {r.code or ''} {r.why}" for r in drops[:5]), *run.errors[:2]])
              or "every stream ended as it should"),
        Check("the load kept pace", run.late < shape.hop_seconds,
              f"99 % of messages left within {1000 * run.late:.2f} ms of their time"),
    ]  # fmt: skip
    if run.faults:
        within = moved is not None and moved <= 1 and (worst is None or worst <= 1)
        words = f"p99 of all by {_words(moved)} hops, of the worst stream by {_words(worst)}"
        checks.append(Check("nobody else's p99 moves by more than a hop", within, words))
    if bound:
        limit = (step_p99 or 0.0) + _GATHER + _ALLOWANCE
        p99 = latency.all.p99
        checks.append(Check("latency within step + gather + 5 ms", p99 is not None and p99 <= limit,
                            f"p99 {_words(_thousand(p99))} ms, limit {1000 * limit:.2f} ms"))  # fmt: skip
    return Report(title, values, checks)


def _thousand(value: float | None) -> float | None:
    return None if value is None else round(1000 * value, 3)


def merged(report: Report, figures: dict[str, Any], checks: Sequence[Check]) -> Report:
    """The report with further figures and checks."""
    return dataclasses.replace(report, figures=report.figures | figures, checks=[*report.checks, *checks])
