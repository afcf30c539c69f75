"""``streamrvq train``: train a codec, or continue its training.

Knows: options, the progress bar, SIGTERM. Does not know: how a codec is trained (train/).
"""

from __future__ import annotations

import dataclasses
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..system.optional import need
from ..weights import load_weights
from .common import JsonOption, note, out, print_json


def train(
    config: Annotated[Path, typer.Argument(help="A .toml or .json, or the name of a packaged one: causal-44khz.")],
    folder: Annotated[Path, typer.Option("--out", help="The folder of the run; a run in it is continued.")],
    data: Annotated[list[str] | None, typer.Option("--data", help="A folder, manifest or file to train on.")] = None,
    validation: Annotated[
        list[str] | None, typer.Option("--validation", help="The same, held out for validation.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps in all, instead of the configuration's.")] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Stop after this many minutes; run again to continue.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", help="Cores per shard of the configuration.")] = 1,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for decoded audio. Default: OUT/cache.")] = None,
    export: Annotated[bool, typer.Option("--export", help="Export weights even if steps are left.")] = False,
    source: Annotated[
        str | None, typer.Option("--from", help="Weights to start a new run from: a file or a preset.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a codec on folders of audio."""
    need("torch", "torch", "training needs")
    from ..train.config import TrainConfig  # here because torch is slow to import
    from ..train.run import Run

    settings = TrainConfig.read(_packaged(config))
    changes: dict[str, Any] = {"train": data and tuple(data), "validation": validation and tuple(validation),
                               "steps": steps}  # fmt: skip
    settings = dataclasses.replace(settings, **{name: value for name, value in changes.items() if value})
    with _Bar(settings.steps, not json) as bar:
        weights = load_weights(source) if source is not None else None
        run = Run(settings, folder, bar, cache=cache, device=device, threads=threads, weights=weights)
        if run.trainer.step:
            note(f"continuing from step {run.trainer.step} of {folder}")
        with _StopOnSignal() as stop:
            done = run.go(minutes, stop.wanted)
    result: dict[str, Any] = {"step": run.trainer.step, "steps": settings.steps, "audio_seconds": run.audio_seconds}
    if done or export:
        result["export"] = run.export()
    if json:
        print_json(result)
        return
    at = f"step {run.trainer.step} of {settings.steps}, {run.audio_seconds:.0f} s of audio"
    out().print(f"{at}: {run.checkpoint_path}")
    if figures := result.get("export"):
        size = f"{figures['bytes'] / 1e6:.1f} MB"
        out().print(f"{folder / settings.name}.safetensors, {size}: {_line(figures['rounded'])}")


def _packaged(config: Path) -> Path:
    packaged = Path(__file__).parents[1] / "train" / "configs" / f"{config}.toml"
    return packaged if not config.exists() and packaged.is_file() else config


def _line(figures: dict[str, Any]) -> str:
    text = f"mel {figures['mel']:.3f}, STFT {figures['stft']:.3f}, SI-SDR {figures['si_sdr']:.2f} dB"
    if "used" in figures:
        text += f", entries used {100 * min(figures['used']):.0f} % or more, {min(figures['entropy']):.1f} bits or more"
    return text


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


class _Bar:
    """A `run.RunObserver` on stderr: a bar on a terminal, and a line for each validation in any case."""

    def __init__(self, steps: int, show: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._show = show
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(), TextColumn("{task.fields[figures]}", markup=False), console=self._console,
            disable=not (show and self._console.is_terminal),
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=steps, figures="")

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def decoded(self, name: str, seconds: float) -> None:
        self._bar.update(self._task, figures=f"decoding {name}")

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, float]) -> None:
        text = f"{speed:.1f} s of audio a second, mel {figures['mel']:.2f}"
        self._bar.update(self._task, completed=step, figures=text)

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        if self._show:
            self._console.print(f"step {step}: {_line(figures)}")
