"""``streamrvq train``: train a codec, or continue its training.

Knows: options, SIGTERM, what is said at the end. Does not know: how a codec is trained (train/), how progress is shown.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.interrupts import ordered_termination
from ..system.optional import need
from ..weights import load_weights
from .common import JsonOption, note, out, print_json
from .progress import TrainingProgress, line_of

if TYPE_CHECKING:
    from ..train.run import Run


def train(
    config: Annotated[
        Path, typer.Argument(help="A .toml or .json, or the name of a packaged one: causal-44khz, causal-44khz-cuda.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="The folder of the run; a run in it is continued.")],
    data: Annotated[list[str] | None, typer.Option("--data", help="A folder, manifest or file to train on.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option("--validation", help="The same, for validation. Default: some files of --data.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps in all, instead of the configuration's.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            help="Train for this many minutes; run again to continue. Codebooks are made from as much as fits. "
            "They count from the end of decoding, and include warming up, but not the validation at the end.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Cores per shard of the configuration.")] = 1,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for decoded audio. Default: OUT/cache.")] = None,
    export: Annotated[bool, typer.Option("--export", help="Measure the weights even if steps are left.")] = False,
    source: Annotated[
        str | None, typer.Option("--from", help="Weights to start a new run from: a file or a preset.")
    ] = None,
    profile: Annotated[
        float | None,
        typer.Option("--profile", min=0, help="Measure steps for so many seconds; say which kernels take the time."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a codec on folders of audio."""
    need("torch", "torch", "training needs")
    from ..train.config import TrainConfig  # here because torch is slow to import
    from ..train.run import Run
    from ..train.runs.effort import check_minutes, check_threads
    from ..train.runs.log import finite
    from ..train.steps.ranks import find_ranks

    check_minutes(minutes, profile)
    check_threads(threads)
    settings = TrainConfig.read(_packaged(config))
    changes: dict[str, Any] = {"train": tuple(data) if data else None,
                               "validation": tuple(validation) if validation else None, "steps": steps}  # fmt: skip
    settings = dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})
    weights = load_weights(source) if source is not None else None
    run: Run | None = None
    ranks = find_ranks(device)
    try:
        with TrainingProgress(settings.steps, not json and ranks.is_first) as progress:
            with ordered_termination():
                run = Run(settings, folder, progress, cache=cache, device=device, threads=threads, weights=weights,
                          ranks=ranks)  # fmt: skip
            with run, _StopOnSignal() as stop:
                done = run.go(minutes, stop.wanted, profile)
                progress.close()
                if not ranks.is_first:
                    return
                if stop.wanted():
                    note(f"ended by SIGTERM at step {run.trainer.step}: {run.kept}")
                result = _result(run, export or (done and not stop.wanted()))
    except (KeyboardInterrupt, SystemExit):
        if ranks.is_first:
            note(f"ended: {run.kept}" if run is not None else f"ended before training: {folder} keeps what it had")
        raise
    finally:
        ranks.close()
    if json:
        print_json(finite(result))
        return
    for line in _lines(run, result):
        out().print(line)


def _result(run: Run, export: bool) -> dict[str, Any]:
    """What ``--json`` prints. With ``export`` the weights are measured."""
    kept = run.kept_step is not None
    result = {
        "name": run.name, "step": run.trainer.step, "steps": run.config.steps, "audio_seconds": run.audio_seconds,
        "checkpoint": str(run.checkpoint_path) if kept else None, "checkpoint_step": run.kept_step,
        "weights": str(run.weights_path) if kept and run.trainer.quantised else None,
    }  # fmt: skip
    return result | ({"export": run.export()} if export else {})


def _lines(run: Run, result: dict[str, Any]) -> Iterator[str]:
    at = f"step {result['step']} of {result['steps']}, {result['audio_seconds']:.0f} s of audio"
    yield f"{at}: {run.kept}"
    if figures := result.get("export"):
        size = f"{figures['bytes'] / 1e6:.3g} MB"
        measured = line_of(figures["rounded"]) if "rounded" in figures else "not measured, for there is no validation"
        yield f"{run.weights_path}, {size}: {measured}"
    elif result["weights"]:
        yield f"{run.weights_path}: the weights of that step, not measured (--export measures them)"


def _packaged(config: Path) -> Path:
    packaged = Path(__file__).parents[1] / "train" / "configs" / f"{config}.toml"
    return packaged if not config.exists() and packaged.is_file() else config


class _StopOnSignal:
    """While it is entered, SIGTERM ends the run after the current step, with a checkpoint, as ``--minutes`` does."""

    def __enter__(self) -> _StopOnSignal:
        self._set = threading.Event()
        self._previous = signal.signal(signal.SIGTERM, lambda *_: self._set.set())
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def wanted(self) -> bool:
        return self._set.is_set()
