"""What a run with an attacker shows, and whether the server kept its word.

Knows: figures and the bars that they must pass. Does not know: how the figures were measured.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..attacks.attack import Attack
from ..errors import LoadError
from ..experiment import Experiment
from ..record import End
from ..report import Check, Report, merged
from ..usage import Usage
from ..verify import is_exact
from .attack import Attacked, attacked, took

_MB = 1e6
#: MB by which memory may grow during an attack, and by which it may still be larger afterwards.
_GROWN, _LEFT = 50.0, 25.0
#: File descriptors that may be open afterwards in addition: of connections that are just ending.
_DESCRIPTORS = 4
#: Lines of the log: for each honest client, and for each second of the attack.
_LINES_OF_ONE, _LINES_A_SECOND = 6, 50
#: Columns of the table of several attacks, between the attack's name and whether all checks passed.
_HEADINGS = ("a second", "p99 quietest → attacked, ms", "hops", "MB quiet → most → end", "got in", "wrong", "log lines")
#: What a report of faults calls these figures.
_PERIODS = "latency_p99_ms_by_period"
_NAMES = {"latency_ms_near_faults": "latency_ms_attacked", "latency_ms_away_from_faults": "latency_ms_quiet",
          _PERIODS: "latency_p99_ms_by_phase"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Growth:
    """The server's memory in bytes, or its file descriptors: before the first attack, at most, and at the end."""

    quiet: int
    most: int
    after: int

    @classmethod
    def of(cls, values: Sequence[tuple[float, int]], first: float) -> Growth:
        """Of values and their times. ``first``: when the first attack began."""
        quiet = [value for time, value in values if time < first] or [values[0][1]]
        return cls(max(quiet), max(value for _, value in values), values[-1][1])


def attack_report(experiment: Experiment, attack: Attack, addresses: int = 1) -> Report:
    """Run, verify and report."""
    result = attacked(experiment, attack, addresses)
    report = experiment.report(result.outcome, period=result.phases.seconds)
    figures, checks = _of_attack(experiment, attack, result)
    moved, latency_checks = of_latency(report.figures, experiment.shape.hop_seconds)
    kept = {_NAMES.get(name, name): value for name, value in report.figures.items() if name != "faults"}
    title = f"{attack.name}: {attack.words}; beside {report.title}"
    return merged(dataclasses.replace(report, title=title, figures=kept), figures | moved, checks + latency_checks)


def attack_reports(experiment: Experiment, attacks: Sequence[Attack], addresses: int = 1) -> Report | Attacks:
    """One attack's report, or those of several. Beside others, an attack whose run fails has only that to report."""
    if len(attacks) == 1:
        return attack_report(experiment, attacks[0], addresses)
    reports = {}
    for attack in attacks:
        try:
            report = attack_report(experiment, attack, addresses)
        except LoadError as error:
            report = Report(attack.name, {}, [Check("the run came to its end", False, str(error))])
        reports[attack.name] = report
        failed = [check.name for check in report.checks if not check.good]
        print(f"{attack.name}: {'; '.join(f'NO {name}' for name in failed) or 'good'}", file=sys.stderr, flush=True)
    return Attacks(reports)


def _of_attack(experiment: Experiment, attack: Attack, result: Attacked) -> tuple[dict[str, Any], list[Check]]:
    seconds, tally = took(result.attacks)
    usages: list[Usage] = result.outcome.usages
    first = result.attacks[0][0]
    rss = Growth.of([(usage.time, usage.rss) for usage in usages], first)
    fds = Growth.of([(usage.time, usage.fds) for usage in usages], first)
    found = experiment.verified([visit.record for visit in result.visits])
    times = [visit.seconds for visit in result.visits if visit.seconds is not None]
    good = [visit for visit in result.visits if visit.seconds is not None and visit.record.end is End.DONE]
    whys = sorted({f"{v.record.end} {v.record.code or ''} {v.record.why}".strip() for v in result.visits
                   if v not in good})  # fmt: skip
    lines = _LINES_OF_ONE * (len(result.outcome.records) + len(result.visits)) + round(_LINES_A_SECOND * seconds)
    slowest = max(times, default=None)
    figures: dict[str, Any] = {
        "attack": {"name": attack.name, "phases": len(result.attacks), "seconds": round(seconds, 1),
                   "attempts": tally.attempts, "attempts_per_second": round(tally.attempts / seconds, 1),
                   "mb_per_second": round(tally.bytes / seconds / _MB, 3), "broken": tally.broken,
                   "cores": round(tally.cpu / seconds, 2)},
        "server_rss_mb": {name: round(value / _MB, 1) for name, value in dataclasses.asdict(rss).items()},
        "server_fds_attacked": dataclasses.asdict(fds),
        "fresh_clients": {"came": len(result.visits), "got_in": len(times), "got_codes": len(good),
                          "codes": found.codes, "wrong": found.wrong,
                          "p50_ms": round(1000 * float(np.median(times)), 1) if times else None,
                          "max_ms": None if slowest is None else round(1000 * slowest, 1)},
        "log_lines": result.log_lines,
    }  # fmt: skip
    grown, left = (rss.most - rss.quiet) / _MB, (rss.after - rss.quiet) / _MB
    errors = len(result.outcome.errors)
    right = found.codes > 0 and found.good(is_exact(experiment.codec))
    checks = [
        Check("the attack happened", tally.attempts > 0,
              f"{tally.attempts} attempts in {seconds:.1f} s, {tally.bytes / _MB:.1f} MB sent"),
        Check("memory grows little and comes back", grown <= _GROWN and left <= _LEFT,
              f"{grown:+.1f} MB at most, {_GROWN:g} allowed; {left:+.1f} MB at the end, {_LEFT:g} allowed"),
        Check("whoever has the token gets in", len(good) == len(result.visits) and right,
              f"{len(good)} of {len(result.visits)} got in and got their codes, {found.wrong} codes wrong. "
              f"{'; '.join(whys[:3])}{found.first}".strip()),
        Check("the log is short and has no error", not errors and result.log_lines <= lines,
              f"{result.log_lines} lines, {lines} allowed; {errors} errors"),
        Check("file descriptors come back", fds.after <= fds.quiet + _DESCRIPTORS,
              f"{fds.quiet} → {fds.most} → {fds.after}"),
    ]  # fmt: skip
    return figures, checks


def of_latency(figures: dict[str, Any], hop_seconds: float) -> tuple[dict[str, Any], list[Check]]:
    """What the attack did to the honest clients, and whether it ended with the attack.

    Both are measured from the quietest phase: after an attack with a long aftermath, quiet phases are as bad as itself.
    """
    phases, hop = figures[_PERIODS], 1000 * hop_seconds
    quietest = min((p99 for p99 in phases[::2] if p99 is not None), default=None)
    of = {"attacked": figures["latency_ms_near_faults"]["p99"], "last": phases[-1]}
    moved = {name: None if None in (p99, quietest) else (p99 - quietest) / hop for name, p99 in of.items()}
    good = {name: hops is not None and hops <= 1 for name, hops in moved.items()}
    values = {
        "p99_ms_of_quietest_phase": quietest,
        "p99_moved_from_quietest_by_hops": None if moved["attacked"] is None else round(moved["attacked"], 3),
    }
    return values, [
        Check("p99 moves by at most a hop", good["attacked"],
              f"{quietest} ms in the quietest phase, {of['attacked']} ms attacked; a hop is {hop:.1f} ms"),
        Check("latency comes back", good["last"],
              f"p99 {quietest} ms in the quietest phase, {of['last']} ms in the last"),
    ]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Attacks:
    """The reports of several attacks. It is shown and judged as a `Report` is."""

    reports: dict[str, Report]

    @property
    def good(self) -> bool:
        """Whether every check of every attack passed."""
        return all(report.good for report in self.reports.values())

    @property
    def together(self) -> Report:
        """One report: the figures of each attack under its name, and the checks of all."""
        figures = {name: report.figures for name, report in self.reports.items()}
        checks = [dataclasses.replace(check, name=f"{name}: {check.name}")
                  for name, report in self.reports.items() for check in report.checks]  # fmt: skip
        return Report(f"{len(figures)} attacks", figures, checks)

    def to_json(self) -> str:
        """The reports as one JSON document."""
        return self.together.to_json()

    def show(self, console: Console) -> None:
        """Print a row for each attack, and below what failed."""
        table = Table(title=self.together.title, title_justify="left")
        table.add_column("attack")
        for heading in (*_HEADINGS, "good"):
            table.add_column(heading, justify="right")
        for name, report in self.reports.items():
            row = _row(report.figures) if report.figures else ["–"] * len(_HEADINGS)
            table.add_row(name, *row, "yes" if report.good else "[bold red]NO[/]")
        console.print(table)
        for check in self.together.checks:
            if not check.good:
                console.print(f"[bold red]NO[/] {check.name}: {escape(check.words)}", highlight=False)


def _row(figures: dict[str, Any]) -> list[str]:
    rss, fresh = figures["server_rss_mb"], figures["fresh_clients"]
    quietest, moved = figures["p99_ms_of_quietest_phase"], figures["p99_moved_from_quietest_by_hops"]
    return [
        f"{figures['attack']['attempts_per_second']:.0f}",
        f"{quietest} → {figures[_NAMES['latency_ms_near_faults']]['p99']}",
        "–" if moved is None else f"{moved:.2f}",
        f"{rss['quiet']} → {rss['most']} → {rss['after']}",
        f"{fresh['got_codes']} of {fresh['came']}",
        str(figures["codes"]["wrong"] + fresh["wrong"]),
        str(figures["log_lines"]),
    ]
