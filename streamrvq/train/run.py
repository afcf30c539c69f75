"""A run on disk: its folder, its log, and when it validates, saves and stops.

A folder holds ``checkpoint.pt`` (everything that is needed to continue), ``log.jsonl`` (a JSON object on each line)
and, at the end, ``NAME.safetensors``. Started again on the same folder, a run continues from its checkpoint.

Knows: files, time. Does not know: how a step is computed, how progress is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import ConfigError, WeightsError
from ..system.atomic_file import append_line
from ..system.foreign_data import foreign_data, shown
from ..system.interrupts import DeferredInterrupts
from ..weights import Weights
from . import checkpoint
from .config import TrainConfig
from .corpus import Corpus, load
from .data import Crops
from .export import export
from .loop import Trainer
from .validation import excerpts, validate

#: Settings that may change when a run continues.
_FREE = {"steps", "train", "validation", "log_every", "validate_every", "checkpoint_every", "validation_clips",
         "validation_seconds", "lr", "small_lr", "lr_final", "decay_from", "adversarial_from",
         "discriminator_width", "discriminator_lr", "kinds", "augment", "loss", "ema", "expire", "codebook_decay",
         "batch", "frames", "precision", "clip", "shards", "ns_steps",
         "codebooks_again"}  # fmt: skip


class RunObserver(Protocol):
    """Receives the events of a run, for example to show them."""

    def decoded(self, name: str, seconds: float) -> None:
        """A file of ``seconds`` was decoded into the cache."""

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, float]) -> None:
        """A step is done. ``speed``: seconds of audio trained on per second, since the run was started."""

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        """A validation is done."""


class Run:
    """A run. Opens its folder, decodes the corpora, and continues from a checkpoint if there is one.

    Args:
        config: of the run.
        folder: for the run's files.
        cache: folder for decoded audio; None: in ``folder``.
        device: "cpu" or "cuda".
        threads: cores for each of the configuration's shards.
        observer: receives the run's events.
        weights: to begin a new run with.

    Raises:
        ConfigError: the folder holds a run of other settings, or torch has no such device.
        WeightsError: ``weights`` belong to another codec.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        observer: RunObserver,
        *,
        cache: Path | None = None,
        device: str = "cpu",
        threads: int = 1,
        weights: Weights | None = None,
    ) -> None:
        _check_device(device)
        self.config, self.folder, self.observer = config, folder, observer
        folder.mkdir(parents=True, exist_ok=True)
        rate = config.codec.sample_rate
        corpus: Corpus = load(config.train, rate, cache or folder / "cache", on_decoded=observer.decoded)
        held_out = load(config.validation, rate, cache or folder / "cache", on_decoded=observer.decoded)
        both = {clip.name for clip in corpus.clips} & {clip.name for clip in held_out.clips}
        if both:
            raise ConfigError(f"{sorted(both)[0]} is in train and in validation; wanted sets without a common file")
        self.clips = excerpts(held_out, config.validation_clips, config.validation_seconds, config.codec.hop_length)
        crops = Crops(corpus, config.samples, config.batch, config.seed, config.kinds, config.augment)
        self.corpus_seconds = corpus.seconds
        self.trainer = Trainer(config, crops, device, threads, weights)
        self.audio_seconds = self.train_time = 0.0
        if self.checkpoint_path.is_file():
            self._resume()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _resume(self) -> None:
        state = checkpoint.read(self.checkpoint_path)
        with foreign_data(WeightsError, str(self.checkpoint_path), "wanted its whole state: start in another folder"):
            was, now = state["config"], self.trainer.config.to_dict()
            for name in sorted(set(now) - _FREE):
                if was.get(name) != now[name]:
                    raise ConfigError(
                        f"{self.folder} holds a run with {name} {shown(was.get(name))}, "
                        f"and this one has {now[name]!r}; wanted the same: start in another folder"
                    )
            self.trainer.load(state)
            self.audio_seconds, self.train_time = float(state["audio_seconds"]), float(state["train_time"])

    def save(self) -> None:
        extra = {"audio_seconds": self.audio_seconds, "train_time": self.train_time}
        checkpoint.save(self.checkpoint_path, self.trainer.state() | extra)

    def go(self, minutes: float | None = None, until: Callable[[], bool] = lambda: False) -> bool:
        """Train until ``config.steps`` are done, the minutes are over, or ``until()`` is true.

        The checkpoint is saved at the end, whatever the reason for the end. Ctrl-C waits for the end of a step. A
        second one does not: then no checkpoint is saved of a step that is half done.

        Returns:
            Whether all steps are done.
        """
        with DeferredInterrupts(second_at_once=True) as interrupts:
            return self._go(minutes, until, interrupts)

    def _go(self, minutes: float | None, until: Callable[[], bool], interrupts: DeferredInterrupts) -> bool:
        config, trainer = self.config, self.trainer
        started = time.perf_counter()
        at_start = self.train_time
        first, window = trainer.step, dict[str, list[float]]()
        spent = 0.0  # seconds that this call spent in steps, without validation and saving
        batches = trainer.crops.batches(first, config.steps)
        halfway = False  # within a step
        try:
            for batch in batches:
                interrupts.check()
                clock = time.perf_counter()
                if until() or (minutes is not None and clock - started >= 60 * minutes):
                    break
                halfway = True
                figures = trainer.train_step(batch)
                halfway = False
                spent += time.perf_counter() - clock
                self.audio_seconds += config.step_seconds
                self.train_time = at_start + spent
                step = trainer.step
                for name, value in figures.items():
                    window.setdefault(name, []).append(value)
                speed = (step - first) * config.step_seconds / spent
                self.observer.stepped(step, self.audio_seconds, speed, figures)
                if step % config.log_every == 0:
                    means = {name: round(sum(values) / len(values), 5) for name, values in window.items()}
                    rate = config.lr * trainer.rate(step - 1)
                    self._log({"event": "train", "lr": rate, "speed": round(speed, 2), **means})
                    window.clear()
                if step % config.validate_every == 0 and step < config.steps:
                    self._validate()
                if step % config.checkpoint_every == 0:
                    self.save()
        finally:
            batches.close()
            if trainer.step > first and not (halfway and interrupts.repeated):
                self.save()
        done = trainer.step >= config.steps
        if done and trainer.step > first:
            self._validate()
        return done

    def _validate(self) -> None:
        trainer = self.trainer
        figures = validate(
            trainer.average,
            self.clips,
            trainer.losses,
            quantise=trainer.quantised,
            dtype=trainer.dtype,
            workers=trainer.workers,
        )
        self._log({"event": "validation", **figures})
        self.observer.validated(trainer.step, figures)

    def export(self, path: Path | None = None) -> dict[str, Any]:
        """Write the averaged weights, rounded, and return their figures and the exact ones, which are also logged."""
        trainer = self.trainer
        if not trainer.quantised:
            raise ConfigError(
                f"the run is at step {trainer.step} and has no codebooks yet; "
                f"wanted more than {self.config.plain_steps}"
            )
        path = path or self.folder / f"{self.config.name}.safetensors"
        average = trainer.average.cpu()
        figures = export(average, self.config.name, path, self.clips, trainer.losses.cpu())
        trainer.average.to(trainer.device)
        trainer.losses.to(trainer.device)
        self._log({"event": "export", "path": str(path), **figures})
        return figures

    def _log(self, values: dict[str, Any]) -> None:
        row = {
            "step": self.trainer.step, "audio_seconds": round(self.audio_seconds, 1),
            "train_seconds": round(self.train_time, 1), "time": round(time.time()),
        }  # fmt: skip
        append_line(self.folder / "log.jsonl", json.dumps(row | values))


def _check_device(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; wanted cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', and torch sees none; wanted cpu here")
