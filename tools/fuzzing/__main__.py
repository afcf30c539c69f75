"""``tools/fuzz``: the command line.

Knows: arguments, the report, exit codes. Does not know: how a campaign is done.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from ..ending import ended
from .campaign import Report, run
from .judging import MOST_MEMORY
from .registry import targets

_MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code: 0, 1 if a fault was found, 2 for an error."""
    args = _parser().parse_args(arguments)
    known = targets()
    if args.list:
        width = max(map(len, known))
        for target in known.values():
            print(f"{target.name:{width}}  {target.reads}")
        return 0
    names = list(known) if args.names == ["all"] else args.names
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        came = f"{unknown[0]!r} is no target" if unknown else "no target was named"
        return _complain(f"{came}; wanted one of {', '.join(known)}, or all")
    if not 0 < args.minutes < math.inf:
        return _complain(f"--minutes is {args.minutes:g}; wanted a number, more than 0")
    if importlib.util.find_spec("atheris") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        return _complain(
            f"atheris is not installed, and may have no wheel for Python {version} on {sys.platform}; "
            "fuzz on Linux with Python 3.11 to 3.13"
        )
    reports = []
    for name in names:
        try:
            reports.append(run(known[name], 60 * args.minutes, args.out.resolve() / name))
        except OSError as error:
            return _complain(f"{args.out / name} cannot be written ({error}); wanted a folder: name one with --out")
        print(_line(reports[-1]), flush=True)
        if not reports[-1].runs:
            print(f"  no input was read; what the process said is at the end of {args.out / name / 'log'}", flush=True)
        for fault, (count, kept) in reports[-1].faults.items():
            print(f"  {fault.kind}: {fault.what}; {count} times, first {args.out / name / 'faults' / kept}")
    return 0 if all(report.passed for report in reports) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/fuzz",
        description="Readers of foreign bytes under coverage-guided fuzzing. Exit code 1 where a fault was found.",
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets, one after the other; or all")
    parser.add_argument("--list", action="store_true", help="say which targets there are")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(".fuzz"), metavar="FOLDER",
                        help="keeps the corpus, and the inputs with faults (default: %(default)s)")  # fmt: skip
    return parser


def _line(report: Report) -> str:
    words = {"traceback": "tracebacks", "hang": "hangs", "message": "messages", "memory": "too large"}
    counts = ", ".join(f"{report.count(kind)} {word}" for kind, word in words.items())
    grown = f"memory {report.start // _MIB} MiB + {report.grown // _MIB} at most (limit {MOST_MEMORY // _MIB})"
    passed = "passed" if report.passed else "FAILED"
    return f"{report.name}: {report.runs} runs in {report.seconds:.0f} s, {counts}, {grown}: {passed}"


def _complain(text: str) -> int:
    print(f"tools/fuzz: error: {text}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    ended(main)
