"""``tools/load`` and ``tools/soak``: the command lines.

Knows: arguments, exit codes. Does not know: how a run is done.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from streamrvq import DEFAULT_CODEC, StreamRVQError

from .attacks.attack import Attack
from .attacks.registry import ATTACKS, attacks_named
from .errors import LoadError
from .experiment import Experiment
from .servers.tiny_codec import write_tiny
from .settings import Settings

if TYPE_CHECKING:
    from .modes.attack_report import Attacks
    from .report import Report

#: Options, the ways of running that do not go with them, and why.
_IGNORED = (
    ("bound", ("throughput", "drain", "attack"), "only a plain run is held to it"),
    ("faults", ("throughput",), "its clients have none"),
    ("faults", ("attack",), "else it would not be clear what moved the others"),
    ("device", ("throughput",), "the bare engine beside the service computes on the CPU"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code: 0, 1 if a check failed, 2 for an error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    soak = given[:1] == ["--soak"]
    name = "tools/soak" if soak else "tools/load"
    try:
        return _run(_parser(name, soak).parse_args(given[1:] if soak else given), soak)
    except (LoadError, StreamRVQError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(name: str, soak: bool) -> argparse.ArgumentParser:
    about = (
        "A server under faults for long: memory, file descriptors and every code."
        if soak
        else "A server under load: every code, latency, memory, CPU."
    )
    parser = argparse.ArgumentParser(
        prog=name, description=f"{about} Exit code 1 where a bar was not passed.", allow_abbrev=False
    )
    codecs = parser.add_mutually_exclusive_group()
    codecs.add_argument("--codec", default=DEFAULT_CODEC, help="a preset or weights (default: %(default)s)")
    codecs.add_argument("--tiny", action="store_true", help="serve a real codec that costs little")
    codecs.add_argument("--null", action="store_true", help="serve a codec that costs nothing: the service alone")
    parser.add_argument("--streams", type=int, default=8, help="clients at once (default: %(default)s)")
    if soak:
        parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)s)")
        parser.add_argument("--flat", type=float, default=10.0, metavar="MIB",
                            help="an hour that memory may grow by (default: %(default)s)")  # fmt: skip
    else:
        parser.add_argument("--seconds", type=float, default=30.0, help="how long (default: %(default)s)")
        parser.add_argument("--bound", action="store_true", help="latency p99 must be within step + gather + 5 ms")
        ways = parser.add_mutually_exclusive_group()
        ways.add_argument("--throughput", action="store_true",
                          help="clients send as fast as they are read; beside the bare engine")  # fmt: skip
        ways.add_argument("--drain", action="store_true", help="SIGTERM at the end, with clients that never read")
        ways.add_argument("--attack", metavar="NAME",
                          help="quiet and attacked by turns: all, list, or names with commas")  # fmt: skip
        parser.add_argument("--addresses", type=int, default=1, metavar="N",
                            help="from which the attacker connects (default: the one of honest clients)")  # fmt: skip
    parser.add_argument("--faults", type=float, default=0.05 if soak else 0.0, metavar="SHARE",
                        help="of the clients, hit in each period (default: %(default)s)")  # fmt: skip
    parser.add_argument("--period", type=float, default=60.0, help="seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: %(default)s)")
    parser.add_argument("--rate", default="native", help="of the clients' audio, Hz (default: the codec's)")
    parser.add_argument("--block", type=int, help="samples of a message (default: a hop; with "
                        "--throughput 16, or as many as a message holds)")  # fmt: skip
    parser.add_argument("--pin", action="store_true", help="server on one core, load on another")
    parser.add_argument("--uvloop", action="store_true", help="on both sides")
    parser.add_argument("--engine", default="auto", help="auto, native or torch")
    parser.add_argument("--threads", type=int, default=1, help="of the server's engine (default: %(default)s)")
    parser.add_argument("--device", help="where the server computes, such as cuda; the codes are compared with a CPU's")
    parser.add_argument("--send-timeout", type=float, default=10.0, help="of the server (default: %(default)s)")
    parser.add_argument("--server", metavar="COMMAND", help="that takes what streamrvq takes, in its place")
    parser.add_argument("--options", default="", help="more for streamrvq serve, as '--gather 0.001 --max-batch 8'")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _run(a: argparse.Namespace, soak: bool) -> int:
    if not soak and a.attack == "list":
        for attack in ATTACKS.values():
            print(f"{attack.name:<15} {attack.words}")
        return 0
    with tempfile.TemporaryDirectory(prefix="streamrvq-load-") as folder:
        return _run_with(a, soak, str(write_tiny(Path(folder))) if a.tiny else a.codec)


def _run_with(a: argparse.Namespace, soak: bool, codec: str) -> int:
    if not soak:
        _refuse_ignored(a)
    elif not a.flat >= 0:
        raise LoadError(f"--flat is {a.flat}; wanted MiB an hour, 0 or more")
    if a.device is not None and a.engine != "auto":
        raise LoadError(f"--engine {a.engine} with --device {a.device}; wanted one of them: a device has its engine")
    if a.rate != "native" and not a.rate.isdecimal():
        raise LoadError(f"--rate is {a.rate!r}; wanted native or Hz")
    settings = Settings(
        codec=codec, streams=a.streams, seconds=60 * a.minutes if soak else a.seconds,
        rate=None if a.rate == "native" else int(a.rate), block=a.block, faults=a.faults, period=a.period, seed=a.seed,
        pin=a.pin, uvloop=a.uvloop, null=a.null, engine=a.engine, threads=a.threads, device=a.device,
        send_timeout=a.send_timeout,
        server=_words("--server", a.server or ""), options=_words("--options", a.options),
    )  # fmt: skip
    attacks = attacks_named(a.attack) if not soak and a.attack else []
    experiment = Experiment(settings, Console(stderr=True, quiet=not sys.stderr.isatty()))
    report: Report | Attacks
    if soak:
        from .modes.soak import soak_report

        report = soak_report(experiment, a.flat)
    elif a.throughput:
        from .modes.throughput import throughput_report

        report = throughput_report(experiment)
    elif a.drain:
        from .modes.drain import drain_report

        report = drain_report(experiment)
    elif attacks:
        report = _attacked(experiment, attacks, a.addresses)
    else:
        report = experiment.report(experiment.live(), a.bound)
    if a.json:
        print(report.to_json())
    else:
        report.show(Console(width=None if sys.stdout.isatty() else 120))
    return 0 if report.good else 1


def _refuse_ignored(a: argparse.Namespace) -> None:
    """Refuse options that the way of running would not look at."""
    for option, ways, why in _IGNORED:
        for way in ways:
            if getattr(a, option) and getattr(a, way):
                raise LoadError(f"--{option} with --{way}; wanted one of them: {why}")
    if a.addresses != 1 and not a.attack:
        raise LoadError(f"--addresses {a.addresses} without --attack; wanted both: they are the attacker's")


def _words(name: str, given: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(given))
    except ValueError as error:
        raise LoadError(f"{name} is {given!r} ({error}); wanted words as a shell has them") from None


def _attacked(experiment: Experiment, attacks: Sequence[Attack], addresses: int) -> Report | Attacks:
    from .modes.attack_report import attack_reports

    if not 1 <= addresses <= 254:
        raise LoadError(f"--addresses is {addresses}; wanted 1 to 254")
    return attack_reports(experiment, attacks, addresses)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the server too
    raise SystemExit(main())
