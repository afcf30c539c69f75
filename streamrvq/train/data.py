"""Batches: random crops with gain, polarity, a mild equaliser and mixing.

A step's batch depends on the seed and the step's number alone. So a resumed run sees the same batches as an
uninterrupted one. What is drawn is a plan of small arrays; whoever applies it needs no random numbers. `Crops.cut`
does so with numpy, and device/crops.py on a GPU.

Knows: how crops are drawn and augmented. Does not know: files (corpus.py), tensors.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..system.foreign_data import shown
from .config import Augment
from .corpus import Clip, Corpus
from .steps.ahead import ahead
from .steps.plan import NODES, Plan

MARGIN = 1024  #: samples read on both sides of a crop, and cut off after the equaliser, which distorts them
_SILENCE = 1e-4  #: a crop below this loudness (−80 dBFS) is drawn again, a few times at most
_SOME = 16  #: one sample in so many is looked at first
LOUDEST = 0.99  #: no crop has a greater peak


class Crops:
    """Draws batches of crops.

    Args:
        corpus: where the crops come from.
        samples: length of a crop.
        batch: crops in a batch.
        seed: decides every random choice.
        kinds: shares of the kinds; see `TrainConfig`.
        augment: see `Augment`.

    Attributes:
        window: samples that are read for a crop, with a margin on both sides.

    Raises:
        ConfigError: the shares leave no file to draw.
    """

    def __init__(
        self, corpus: Corpus, samples: int, batch: int, seed: int, kinds: Mapping[str, float], augment: Augment
    ) -> None:
        self.corpus, self.samples, self._batch = corpus, samples, batch
        self.window = samples + 2 * MARGIN
        self._seed, self._augment = seed, augment
        lengths = np.array([clip.length * clip.weight for clip in corpus.clips], np.float64)
        weights = lengths / lengths.sum()
        for kind, share in kinds.items():
            # Not numpy's text, in which all are as wide as the longest.
            mine = np.array([clip.kind == kind for clip in corpus.clips])
            if mine.any():
                weights[mine] *= share / weights[mine].sum()
        if not weights.sum() > 0:
            raise ConfigError(f"kinds is {shown(dict(kinds))}; wanted a share above 0 for some file of the data")
        self._cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        """The crops of ``step``: float32 ``[batch, samples]``, within [−1, 1]."""
        return self.cut(self.plan(step))

    def batches(
        self, first: int, last: int, rows: slice = slice(None)
    ) -> Generator[npt.NDArray[np.float32], None, None]:
        """Those ``rows`` of the batches of steps ``first … last − 1``. A thread prepares them ahead of time."""
        return ahead(lambda step: self.cut(self.plan(step).part(rows)), first, last)

    def plan(self, step: int) -> Plan:
        """What the crops of ``step`` are made of."""
        rng = np.random.default_rng([self._seed, step])
        plan = Plan.empty(self._batch)
        for row in range(self._batch):
            self._draw_row(rng, plan, row)
        return plan

    def _draw_row(self, rng: np.random.Generator, plan: Plan, row: int) -> None:
        aug = self._augment
        self._draw(rng, plan, row, 0)
        if rng.random() < aug.mix:
            self._draw(rng, plan, row, 1)
            plan.mix[row] = 10 ** (rng.uniform(*aug.mix_db) / 20)
        if rng.random() < aug.tilt:
            plan.tilted[row] = True
            plan.nodes[row] = rng.normal(0, aug.tilt_db, NODES)
        plan.gain[row] = 10 ** (rng.uniform(*aug.gain_db) / 20)
        if rng.random() < aug.polarity:
            plan.gain[row] = -plan.gain[row]

    def _draw(self, rng: np.random.Generator, plan: Plan, row: int, part: int) -> None:
        for _ in range(4):
            at = min(int(np.searchsorted(self._cumulative, rng.random(), "right")), len(self._cumulative) - 1)
            clip = self.corpus.clips[at]
            start = self._start(clip, rng)
            if self._sounds(clip, start):
                break
        first, last = max(0, -start), min(self.window, clip.length - start)
        plan.clip[row, part], plan.start[row, part] = at, start
        plan.at[row, part], plan.first[row, part], plan.last[row, part] = clip.start + start, first, max(first, last)

    def _start(self, clip: Clip, rng: np.random.Generator) -> int:
        """A random start in the clip. A clip that is shorter than the crop gets a random place in the crop."""
        slack = clip.length - self.samples
        return int(rng.integers(min(0, slack), max(0, slack) + 1)) - MARGIN

    def _sounds(self, clip: Clip, start: int) -> bool:
        """Whether the piece is louder than silence."""
        first, last = clip.start + max(0, start), clip.start + min(clip.length, start + self.window)
        some = self.corpus.samples[first:last:_SOME].astype(np.float64)
        if float(some @ some) > 1.01 * self.window * (32768 * _SILENCE) ** 2:
            return True  # these samples alone are enough
        pcm = self.corpus.read(clip, start, self.window)
        return float(np.sqrt(np.mean(np.square(pcm)))) > _SILENCE

    def cut(self, plan: Plan) -> npt.NDArray[np.float32]:
        """The crops of a plan: float32 ``[B, samples]``."""
        return np.stack([self._cut_row(plan, row) for row in range(len(plan.gain))])

    def _cut_row(self, plan: Plan, row: int) -> npt.NDArray[np.float32]:
        pcm = self._read(plan, row, 0)
        if plan.clip[row, 1] >= 0:
            pcm = pcm + self._read(plan, row, 1) * plan.mix[row]
        if plan.tilted[row]:
            pcm = _equalise(pcm, plan.nodes[row])
        pcm = pcm[MARGIN : MARGIN + self.samples]
        gain = float(plan.gain[row])
        peak = float(np.abs(pcm).max(initial=0.0))
        if abs(gain) * peak > LOUDEST:
            gain *= LOUDEST / (abs(gain) * peak)
        return (pcm * np.float32(gain)).astype(np.float32)

    def _read(self, plan: Plan, row: int, part: int) -> npt.NDArray[np.float32]:
        return self.corpus.read(self.corpus.clips[plan.clip[row, part]], int(plan.start[row, part]), self.window)


def _equalise(pcm: npt.NDArray[np.float32], nodes: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Apply a smooth gain over log frequency, without changing the phase. ``nodes``: in dB, less their mean."""
    spectrum = np.fft.rfft(pcm)
    octaves, places = equaliser_axis(len(pcm))
    gain = 10 ** (np.interp(octaves, places, nodes - nodes.mean()) / 20)
    filtered: npt.NDArray[np.float32] = np.fft.irfft(spectrum * gain, len(pcm)).astype(np.float32)
    return filtered


def equaliser_axis(length: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the bins of a spectrum of ``length`` samples and the nodes are, in octaves below half the rate (−9 … 0)."""
    bins = length // 2 + 1
    return np.log2(np.arange(bins) / bins + 1 / 512), np.linspace(-9, 0, NODES)
