"""Batches: random crops with gain, polarity, a mild equaliser and mixing.

A step's batch depends on the seed and the step's number alone. So a resumed run sees the same batches as an
uninterrupted one.

Knows: how crops are drawn and augmented. Does not know: files (corpus.py), tensors.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Mapping

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..system.foreign_data import shown
from .config import Augment
from .corpus import Clip, Corpus

_MARGIN = 1024  #: samples read on both sides of a crop, and cut off after the equaliser, which distorts them
_SILENCE = 1e-4  #: a crop below this loudness (−80 dBFS) is drawn again, a few times at most


class Crops:
    """Draws batches of crops.

    Args:
        corpus: where the crops come from.
        samples: length of a crop.
        batch: crops in a batch.
        seed: decides every random choice.
        kinds: shares of the kinds; see `TrainConfig`.
        augment: see `Augment`.

    Raises:
        ConfigError: the shares leave no file to draw.
    """

    def __init__(
        self, corpus: Corpus, samples: int, batch: int, seed: int, kinds: Mapping[str, float], augment: Augment
    ) -> None:
        self._corpus, self._samples, self._batch = corpus, samples, batch
        self._seed, self._augment = seed, augment
        lengths = np.array([clip.length * clip.weight for clip in corpus.clips], np.float64)
        weights = lengths / lengths.sum()
        for kind, share in kinds.items():
            mine = np.array([clip.kind == kind for clip in corpus.clips])  # numpy's text takes the room of the longest
            if mine.any():
                weights[mine] *= share / weights[mine].sum()
        if not weights.sum() > 0:
            raise ConfigError(f"kinds is {shown(dict(kinds))}; wanted a share above 0 for some file of the data")
        self._cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        """The crops of ``step``: float32 ``[batch, samples]``, within [−1, 1]."""
        rng = np.random.default_rng([self._seed, step])
        return np.stack([self._crop(rng) for _ in range(self._batch)])

    def _crop(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        aug = self._augment
        pcm = self._draw(rng)
        if rng.random() < aug.mix:
            other = self._draw(rng)
            pcm = pcm + other * np.float32(10 ** (rng.uniform(*aug.mix_db) / 20))
        if rng.random() < aug.tilt:
            pcm = _equalise(pcm, rng, aug.tilt_db)
        pcm = pcm[_MARGIN : _MARGIN + self._samples]
        gain = 10 ** (rng.uniform(*aug.gain_db) / 20)
        if rng.random() < aug.polarity:
            gain = -gain
        peak = float(np.abs(pcm).max(initial=0.0))
        if abs(gain) * peak > 0.99:
            gain *= 0.99 / (abs(gain) * peak)
        return (pcm * np.float32(gain)).astype(np.float32)

    def _draw(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        for _ in range(4):
            at = min(int(np.searchsorted(self._cumulative, rng.random(), "right")), len(self._cumulative) - 1)
            clip = self._corpus.clips[at]
            pcm = self._corpus.read(clip, self._start(clip, rng), self._samples + 2 * _MARGIN)
            if float(np.sqrt(np.mean(np.square(pcm)))) > _SILENCE:
                break
        return pcm

    def _start(self, clip: Clip, rng: np.random.Generator) -> int:
        """A random start in the clip. A clip that is shorter than the crop gets a random place in the crop."""
        slack = clip.length - self._samples
        return int(rng.integers(min(0, slack), max(0, slack) + 1)) - _MARGIN

    def batches(self, first: int, last: int) -> Generator[npt.NDArray[np.float32], None, None]:
        """The batches of steps ``first … last − 1``. A thread prepares them ahead of time."""
        made: queue.Queue[npt.NDArray[np.float32] | BaseException] = queue.Queue(maxsize=4)
        over = threading.Event()

        def put(item: npt.NDArray[np.float32] | BaseException) -> bool:
            while not over.is_set():
                try:
                    made.put(item, timeout=0.2)
                    return True
                except queue.Full:
                    continue
            return False

        def make() -> None:
            try:
                for step in range(first, last):
                    if not put(self.batch(step)):
                        return
            except BaseException as error:
                put(error)

        thread = threading.Thread(target=make, name="crops", daemon=True)
        thread.start()
        try:
            for _ in range(first, last):
                item = made.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            over.set()
            thread.join()


def _equalise(pcm: npt.NDArray[np.float32], rng: np.random.Generator, db: float) -> npt.NDArray[np.float32]:
    """Apply a smooth random gain over log frequency, without changing the phase."""
    spectrum = np.fft.rfft(pcm)
    nodes = rng.normal(0, db, 6)
    bins = np.log2(np.arange(len(spectrum)) / len(spectrum) + 1 / 512)  # −9 … 0 octaves below half the rate
    gain = 10 ** (np.interp(bins, np.linspace(-9, 0, 6), nodes - nodes.mean()) / 20)
    filtered: npt.NDArray[np.float32] = np.fft.irfft(spectrum * gain, len(pcm)).astype(np.float32)
    return filtered
