"""Judging one clip, in a separate process: the output of every system, scored and transcribed.

A process has one thread if its environment says so; tools/quality sets it.

Knows: what a process must load once. Does not know: means, tables, other clips.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streamrvq import Codec, load
from streamrvq.system.children import end_children
from streamrvq.system.interrupts import DeferredInterrupts

from .clips import Clip, Samples
from .metrics import Judge
from .systems import System, results
from .words import Recogniser


@dataclass(frozen=True)
class Task:
    """What to do with every clip.

    Attributes:
        codec, rival: as `streamrvq.load` takes them. The rival is scored with all its codebooks only.
        systems: the systems to compare.
        metrics: names of `METRICS`.
    """

    codec: str
    rival: str | None
    systems: tuple[System, ...]
    metrics: tuple[str, ...]

    def on(self, clip: Clip) -> tuple[System, ...]:
        """The systems to compare on this clip."""
        return tuple(system for system in self.systems if clip.split != "words" or system.kind != "rival")


@dataclass
class Judged:
    """The results for one clip, by system: scores, bits, recognised text. ``counts``: how often each code was used."""

    clip: Clip
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    bits: dict[str, float] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    counts: npt.NDArray[np.int64] | None = None


class Worker:
    """Everything that a process loads once, and the judging of a clip with it."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.codec: Codec = load(task.codec, threads=1)
        self.rival: Codec | None = load(task.rival, threads=1) if task.rival else None
        self._judge = Judge(task.metrics)
        self._recogniser: Callable[[Samples], str] | None = None

    def judge(self, clip: Clip) -> Judged:
        """Judge all systems on a clip. Codes are counted on validation clips, at all of the codec's levels."""
        judged, x = Judged(clip), clip.read()
        for result in results(x, self.task.on(clip), self.codec, self.rival):
            name = result.system.name
            judged.scores[name] = self._judge(x, result.pcm, clip.split, clip.kind)
            judged.bits[name] = result.bits
            if clip.split == "words" and "wer" in self.task.metrics:
                self._recogniser = self._recogniser or Recogniser()
                judged.heard[name] = self._recogniser(result.pcm)
            full = result.system == System("ours", self.codec.n_codebooks)
            if full and result.codes is not None and clip.split == "validation":
                size = self.codec.config.codebook_size
                judged.counts = np.stack([np.bincount(level, minlength=size) for level in result.codes])
        return judged


#: Seconds between two looks for an interrupt.
_LOOK_EVERY = 0.25
T = TypeVar("T")

_worker: Worker | None = None


def _start(task: Task) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it here too; the parent ends this process
    _worker = Worker(task)


def _judge(clip: Clip) -> Judged:
    assert _worker is not None
    return _worker.judge(clip)


def sounds(task: Task, clip: Clip, systems: Sequence[System]) -> list[Samples]:
    """The output of some systems for a clip, computed in a separate process, like the scores."""
    with _processes(1, task) as pool:
        (pcms,) = _results([pool.submit(_sounds, clip, systems)])
        return pcms


def _sounds(clip: Clip, systems: Sequence[System]) -> list[Samples]:
    assert _worker is not None
    return [result.pcm for result in results(clip.read(), systems, _worker.codec, _worker.rival)]


@contextmanager
def _processes(number: int, task: Task) -> Iterator[ProcessPoolExecutor]:
    others = set(active_children())
    with ProcessPoolExecutor(number, mp_context=get_context("spawn"), initializer=_start, initargs=(task,)) as pool:
        try:
            yield pool
        except BaseException:  # leaving the block waits for every process
            pool.shutdown(wait=False, cancel_futures=True)
            end_children([child for child in active_children() if child not in others])
            raise


def _results(waiting: Iterable[Future[T]]) -> Iterator[T]:
    """What the futures give, in the order in which they are ready. An interrupt comes where no lock is taken."""
    left = set(waiting)
    with DeferredInterrupts() as interrupts:
        while left:
            ended, left = wait(left, _LOOK_EVERY, FIRST_COMPLETED)
            interrupts.check()
            for future in ended:
                yield future.result()


def judge_all(task: Task, clips: Iterable[Clip], workers: int) -> Iterator[Judged]:
    """Judge all clips, the longest first. Results come in the order in which they are ready."""
    ordered = sorted(clips, key=lambda clip: (-len(task.on(clip)) * clip.samples, clip.name))
    with _processes(workers, task) as pool:
        yield from _results([pool.submit(_judge, clip) for clip in ordered])
