"""How batches were drawn and codebooks followed before plans: what a CPU's numbers must stay equal to, bit by bit.

Knows: that code, as it was. Does not know: what takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamrvq.train.codebooks import RunningMeans
from streamrvq.train.config import Augment
from streamrvq.train.corpus import Clip, Corpus

_MARGIN = 1024
_SILENCE = 1e-4


class FormerCrops:
    """Draws batches of crops."""

    def __init__(
        self, corpus: Corpus, samples: int, batch: int, seed: int, kinds: Mapping[str, float], augment: Augment
    ) -> None:
        self._corpus, self._samples, self._batch = corpus, samples, batch
        self._seed, self._augment = seed, augment
        lengths = np.array([clip.length for clip in corpus.clips], np.float64)
        weights = lengths / lengths.sum()
        for kind, share in kinds.items():
            mine = np.array([clip.kind == kind for clip in corpus.clips])  # numpy's text takes the room of the longest
            if mine.any():
                weights[mine] *= share / weights[mine].sum()
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


def _equalise(pcm: npt.NDArray[np.float32], rng: np.random.Generator, db: float) -> npt.NDArray[np.float32]:
    """Apply a smooth random gain over log frequency, without changing the phase."""
    spectrum = np.fft.rfft(pcm)
    nodes = rng.normal(0, db, 6)
    bins = np.log2(np.arange(len(spectrum)) / len(spectrum) + 1 / 512)  # −9 … 0 octaves below half the rate
    gain = 10 ** (np.interp(bins, np.linspace(-9, 0, 6), nodes - nodes.mean()) / 20)
    filtered: npt.NDArray[np.float32] = np.fft.irfft(spectrum * gain, len(pcm)).astype(np.float32)
    return filtered


@torch.no_grad()
def former_update(
    means: RunningMeans, codes: Tensor, latents: Tensor, move: bool, generator: torch.Generator
) -> list[Tensor]:
    """`RunningMeans.update`. Returns the indices of the replaced entries, level by level."""
    replaced = []
    dim = means.levels[0].codebook_dim
    frames = codes.shape[0] * codes.shape[2]
    for i, level in enumerate(means.levels):
        x = latents[:, i * dim : (i + 1) * dim].transpose(1, 2).reshape(-1, dim)
        index = codes[:, i].reshape(-1)
        size = level.codebook_size
        count = torch.bincount(index, minlength=size).float() / frames
        total = torch.zeros(size, dim, device=x.device).index_add_(0, index, x) / frames
        means.share[i].lerp_(count, 1 - means.decay)
        means.total[i].lerp_(total, 1 - means.decay)
        if move:
            level.codebook.weight.copy_(means.total[i] / means.share[i][:, None].clamp(min=1e-9))
        dead = (means.share[i] < means.expire / size).nonzero()[:, 0]
        if len(dead):
            chosen = torch.randint(frames, (len(dead),), generator=generator)
            level.codebook.weight[dead] = x[chosen.to(x.device)]
            means.share[i][dead] = 0.5 / size
            means.total[i][dead] = level.codebook.weight[dead] * (0.5 / size)
        replaced.append(dead)
    return replaced
