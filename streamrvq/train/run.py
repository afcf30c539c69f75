"""A run on disk: its folder, its log, and when it validates, saves and stops.

Started again on the same folder, a run continues from its checkpoint. What the folder holds: runs/folder.py.

Knows: files, time. Does not know: how a step is computed, how progress is shown.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import ConfigError, WeightsError
from ..system.foreign_data import foreign_data
from ..system.interrupts import DeferredInterrupts
from ..weights import Weights
from . import checkpoint
from .config import TrainConfig
from .data import Crops
from .device.gpu import check_device
from .device.profile import Profile
from .export import measure, training, write
from .loop import Trainer
from .runs.effort import check_minutes, frames_for
from .runs.ending import Ending, Enough
from .runs.folder import CACHE, CHECKPOINT, LOG, leave_nothing, open_folder, own_name
from .runs.log import Log
from .runs.observer import RunObserver, Unobserved
from .runs.opening import open_run
from .runs.pace import Pace
from .runs.report import Report
from .runs.rows import is_validated
from .steps.ranks import ALONE, Ranks
from .validation import excerpts, missing, shortest, validate


class Run:
    """A run. Opens its folder, decodes the corpora, and continues from a checkpoint if there is one.

    It holds the folder's lock until `close`, which the end of a `with` block calls.

    Args:
        config: of the run.
        folder: for the run's files.
        cache: folder for decoded audio; None: in ``folder``.
        device: "cpu" or "cuda".
        threads: cores for each of the configuration's shards.
        observer: receives the run's events.
        weights: to begin a new run with. A run that goes on takes nothing of them.
        ranks: who else trains this run. The first alone writes files and is observed.

    Attributes:
        name: the run's own, which its weights carry: the configuration's, or that of the folder if it is a preset's.
        kept_step: the step of the checkpoint; None: there is none.

    Raises:
        ConfigError: the folder holds a run of other settings or data, or something else; or it cannot be written to;
            or torch has no such device, or not so many ``threads``; or the batch cannot be divided among ``ranks``.
        CorpusError: another process holds the folder.
        InputError, AudioFileError: the data cannot be read.
        WeightsError: ``weights`` belong to another codec, or the checkpoint is damaged.
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
        ranks: Ranks = ALONE,
    ) -> None:
        check_device(device)
        ranks.check(config)
        observer = observer if ranks.is_first else Unobserved()
        self.config, self.folder, self.observer, self.ranks = config, folder, observer, ranks
        self.audio_seconds = self.train_time = 0.0
        self.kept_step: int | None = None
        self.name = own_name(folder, config.name)
        self._log_file, self._pace = Log(folder / LOG), Pace(config, device == "cuda")
        with ranks.first_before_others():  # and the first one holds the folder for all
            held = open_folder(folder, self.weights_path.name).release if ranks.is_first else lambda: None
            self._release = weakref.finalize(self, held)
            try:
                self._open(cache or folder / CACHE, ranks.place(device), threads, weights)
            except BaseException:
                if ranks.is_first:
                    leave_nothing(folder)
                self.close()
                raise

    def close(self) -> None:
        """Let other processes use the folder. It also happens once nothing refers to the run any more."""
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT

    @property
    def weights_path(self) -> Path:
        """The file of weights that each checkpoint renews, once there are codebooks."""
        return self.folder / f"{self.config.name}.safetensors"

    @property
    def kept(self) -> str:
        """What the folder keeps of the run, as a sentence without its end."""
        if self.kept_step is None:
            return "nothing is kept, for no checkpoint was written yet"
        if self.kept_step >= self.config.steps:
            return f"{self.checkpoint_path} keeps step {self.kept_step}, the last one"
        return f"{self.checkpoint_path} keeps step {self.kept_step}, and the same command goes on from there"

    def _open(self, cache: Path, device: str, threads: int, weights: Weights | None) -> None:
        config, codec = self.config, self.config.codec
        state = checkpoint.read(self.checkpoint_path) if self.checkpoint_path.is_file() else None
        hop, lacks = codec.hop_length, missing(codec)
        opened = open_run(config, self.name, self.folder, cache, shortest(hop, lacks), self.observer, weights,
                          state is not None, (state or {}).get("config"))  # fmt: skip
        config = self.config = opened.config
        train, held, count = opened.data.train, opened.data.held, config.validation_clips
        self.clips = [] if held is None else excerpts(held, count, config.validation_seconds, hop, lacks)
        crops = Crops(train, config.samples, config.batch, config.seed, config.kinds, config.augment)
        first = weights if state is None else None  # a checkpoint has its own
        self.trainer = Trainer(config, crops, device, threads, first, self.observer.remarked, self.ranks)
        if state is not None:
            self._resume(state)
        for row in opened.rows:
            self._log(row)
        for remark in opened.remarks:
            self.observer.remarked(remark)

    def _resume(self, state: dict[str, Any]) -> None:
        with foreign_data(WeightsError, str(self.checkpoint_path), "wanted its whole state: start in another folder"):
            self.trainer.load(state)
            self.audio_seconds, self.train_time = float(state["audio_seconds"]), float(state["train_time"])
        self.kept_step = self.trainer.step

    def save(self) -> None:
        """Write the weights and then the checkpoint, so that a process killed between the two leaves no older weights.

        After a step without a finite gradient the last good checkpoint is kept: later steps may have none either. After
        the last step of the run there are none that could.

        Raises:
            WeightsError: the numbers are not finite, or a file cannot be written. Older files stay.
        """
        trainer = self.trainer
        if (trainer.lost and trainer.step < self.config.steps) or not self.ranks.is_first:
            return
        extra = {"audio_seconds": self.audio_seconds, "train_time": self.train_time}
        try:
            if not trainer.is_finite:
                raise WeightsError(
                    f"the weights of step {trainer.step} are not finite; wanted finite ones: go on with a lower lr"
                )
            if trainer.quantised:
                self._write(self.weights_path)
            checkpoint.save(self.checkpoint_path, trainer.state() | extra)
        except WeightsError as error:
            raise WeightsError(f"{error}; {self.kept}") from None
        self.kept_step = trainer.step
        self._pace.kept()
        self._log({"event": "checkpoint", "weights": self.weights_path.name if trainer.quantised else None})

    def _write(self, path: Path) -> Weights:
        return write(self.trainer.average, self.name, training(self.trainer.step, self.audio_seconds), path)

    def go(
        self, minutes: float | None = None, until: Callable[[], bool] = lambda: False, profile: float | None = None
    ) -> bool:
        """Train until ``config.steps`` are done, the minutes are over, or ``until()`` is true.

        The checkpoint is saved at the end, whatever the reason for the end, but for numbers that are not finite. Ctrl-C
        waits for the end of a step; a second one does not. A step that is left half done is not saved.
        While codebooks are made, all of these end the making, and what was made of them is not kept. On a GPU the
        run is validated at its end, unless Ctrl-C was the reason, and saved at least once a minute.

        Args:
            minutes: from now on, without the decoding. Fewer minutes also mean codebooks from fewer frames (effort.py).
            until: asked before each step, and often while codebooks are made.
            profile: seconds to measure for a table of where the time goes, once the steps are alike; None: no table.

        Returns:
            Whether all steps are done.

        Raises:
            ConfigError: ``minutes`` or ``profile`` is no number of at least 0, or the log cannot be written.
            WeightsError: the training diverged, or a file cannot be written. The last good checkpoint is kept.
        """
        check_minutes(minutes, profile)
        with DeferredInterrupts(second_at_once=True) as interrupts:
            return self._go(minutes, until, interrupts, profile if self.ranks.is_first else None)

    def _go(
        self, minutes: float | None, until: Callable[[], bool], interrupts: DeferredInterrupts, profile: float | None
    ) -> bool:
        config, trainer, at_start = self.config, self.trainer, self.train_time
        first, runner = trainer.step, trainer.runner
        report = Report(config, first, self._pace, runner, self.observer, self._log)
        profiler = Profile(profile, trainer.device.type, self.observer.remarked) if profile is not None else None
        spent, made = 0.0, dict[str, int]()  # seconds spent in steps alone; what was made, and from how many frames
        batches = trainer.batches(first, config.steps)
        ready, ending = time.perf_counter(), Ending(minutes, until, interrupts, self.ranks)  # ready: for a batch
        halfway, sound, step = False, True, first  # halfway: within a step; step: the last one that was counted

        def watch(what: str, frames: int, share: float) -> None:
            if ending.is_here():
                raise Enough
            made[what] = frames
            self.observer.making(what, frames, share)

        trainer.unseen.frames = frames_for(config, minutes)
        trainer.unseen.watch = watch
        try:
            for batch in batches:
                if ending.is_here():
                    break
                clock = time.perf_counter() if runner is None else ready  # a GPU must not wait for its batch
                halfway = True
                figures = trainer.train_step(batch)
                halfway = False
                spent += time.perf_counter() - clock
                self.audio_seconds += config.step_seconds
                step = trainer.step
                self.train_time = at_start + spent
                for what, frames in made.items():
                    self._log({"event": "made", "what": what, "frames": frames})
                made.clear()
                if profiler is not None:
                    profiler.stepped(runner is None or runner.is_settled, config.step_seconds)
                report.stepped(step, self.audio_seconds, (step - first) * config.step_seconds / spent, figures)
                if step % config.validate_every == 0 and step < config.steps:
                    self._validate()
                if self._pace.is_due(step):
                    self.save()
                ready = time.perf_counter()
        except Enough:
            pass
        except WeightsError as error:
            sound = False
            raise WeightsError(f"{error}; {self.kept}" if halfway else str(error)) from None
        finally:
            batches.close()
            if sound and trainer.whole and trainer.step != (self.kept_step or 0):
                self.audio_seconds += config.step_seconds * (trainer.step - step)  # of one that ended in an exception
                self.save()
        done = trainer.step >= config.steps
        fresh = trainer.step > first or not is_validated(self._log_file.path, first)  # a killed run may lack it
        if (done or runner is not None) and fresh:
            self._validate()
        return done

    def _validate(self) -> None:
        trainer = self.trainer
        if not self.clips or not self.ranks.is_first:
            return
        workers = trainer.workers if trainer.runner is None else None
        quantise, dtype = trainer.quantised, trainer.dtype
        figures = validate(trainer.average, self.clips, trainer.losses, quantise=quantise, dtype=dtype, workers=workers)
        self._log({"event": "validation", **figures})
        self.observer.validated(trainer.step, figures)

    def export(self, path: Path | None = None) -> dict[str, Any]:
        """Write the averaged weights; log and give exact and rounded figures. Raises `ConfigError`, `WeightsError`."""
        trainer = self.trainer
        if not trainer.quantised:
            raise ConfigError(
                f"the run is at step {trainer.step} and has no codebooks yet; "
                f"wanted more than {self.config.plain_steps}"
            )
        path = path or self.weights_path
        weights = self._write(path)
        figures = measure(trainer.average, weights, path, self.clips, trainer.losses)
        self._log({"event": "export", "path": str(path), **figures})
        return figures

    def _log(self, values: dict[str, Any]) -> None:
        row = {
            "step": self.trainer.step, "audio_seconds": round(self.audio_seconds, 1),
            "train_seconds": round(self.train_time, 1),
        }  # fmt: skip
        if self.ranks.is_first:
            self._log_file.write(row | values)
