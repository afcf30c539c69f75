"""Is a second of a clip the same recording as a second of one that is judged on? Spectral fingerprints find out.

After Haitsma and Kalker (2002): between 300 and 3000 Hz are 33 bands. For each two neighbours a bit says whether their
difference grew since the frame before. These 32 bits survive other codecs, loudness, cuts and rates. Two recordings are
the same where enough frames in a row differ in few bits. A tune that is played again is not found, nor is a sound that
lasts less than `SHORTEST` seconds.

Knows: samples at 44.1 kHz. Does not know: files, splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .audio import RATE, Samples, resample

_RATE, _FRAME, _HOP, _BANDS = 8000, 2048, 128, 33
_LOWEST, _HIGHEST = 300.0, 3000.0  # Hz
_QUIET_DB = -45.0  #: frames this far below the loudest say nothing
_RUN, _LOUD = 48, 40  #: frames that must agree, and how many of them must be loud
_MOST = 0.2  #: the share of their bits that may differ; by chance it is 0.5
_COMMON = 32  #: a word that judged clips have more often is no hint
_BLOCK = 2048  #: frames that are transformed at once
SHORTEST = (_FRAME + _RUN * _HOP) / _RATE  #: seconds
# Band k has the bins _EDGES[k] … _EDGES[k + 1] − 1.
_EDGES = np.searchsorted(np.fft.rfftfreq(_FRAME, 1 / _RATE), np.geomspace(_LOWEST, _HIGHEST, _BANDS + 1))


@dataclass(frozen=True)
class Fingerprint:
    """``words``: 32 bits for each frame; ``loud``: whether a frame is loud enough to count. Both ``[frames]``."""

    words: npt.NDArray[np.uint32]
    loud: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Likeness:
    """Where a clip sounds like a judged one: that one's name, seconds in both, and the share of bits that differ."""

    name: str
    at: float
    judged_at: float
    differ: float


def fingerprint(pcm: Samples) -> Fingerprint:
    """The fingerprint of samples at 44.1 kHz: 62.5 frames a second. What is shorter than a frame has none."""
    low = resample(pcm, RATE, _RATE, "MQ")
    if len(low) < _FRAME + _HOP:
        return Fingerprint(np.zeros(0, np.uint32), np.zeros(0, np.bool_))
    frames = np.lib.stride_tricks.sliding_window_view(low, _FRAME)[::_HOP]
    window = np.hanning(_FRAME).astype(np.float32)
    blocks = []
    for at in range(0, len(frames), _BLOCK):
        bins = np.fft.rfft(frames[at : at + _BLOCK] * window)[:, : _EDGES[-1]]
        blocks.append(np.add.reduceat(bins.real**2 + bins.imag**2, _EDGES[:-1], axis=1))
    energy = np.concatenate(blocks)
    grew = np.diff(np.diff(energy, axis=1), axis=0) > 0
    total = energy[1:].sum(axis=1)
    loud = total > max(float(total.max()), 1e-9) * 10 ** (_QUIET_DB / 10)
    return Fingerprint(np.packbits(grew, axis=1).view(">u4")[:, 0].astype(np.uint32), loud)


class Judged:
    """The fingerprints of clips that are judged on, to compare others with."""

    def __init__(self) -> None:
        self._clips: list[tuple[str, Fingerprint]] = []
        self._sorted: tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None

    def add(self, name: str, pcm: Samples) -> None:
        self._clips.append((name, fingerprint(pcm)))
        self._sorted = None

    def find(self, pcm: Samples) -> Likeness | None:
        """The place where ``pcm`` is most like a judged clip; None if it is like none of them."""
        if not self._clips:
            return None
        mine, best = fingerprint(pcm), None
        for clip, shift in self._candidates(mine):
            name, theirs = self._clips[clip]
            found = _compare(mine, theirs, shift)
            if found is not None and (best is None or found[0] < best.differ):
                differ, at = found
                best = Likeness(name, at * _HOP / _RATE, (at - shift) * _HOP / _RATE, differ)
        return best

    def _candidates(self, mine: Fingerprint) -> list[tuple[int, int]]:
        """Clips, and shifts (my frame less theirs), at which one frame at least is the same."""
        words, clips, frames = self._index()
        first, last = np.searchsorted(words, mine.words, "left"), np.searchsorted(words, mine.words, "right")
        pairs = set()
        for at in np.flatnonzero((last > first) & (last - first <= _COMMON) & mine.loud):
            for place in range(first[at], last[at]):
                pairs.add((int(clips[place]), int(at - frames[place])))
        return sorted(pairs)

    def _index(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if self._sorted is None:
            words = np.concatenate([print_.words[print_.loud] for _, print_ in self._clips])
            frames = np.concatenate([np.flatnonzero(print_.loud) for _, print_ in self._clips])
            clips = np.repeat(np.arange(len(self._clips)), [int(print_.loud.sum()) for _, print_ in self._clips])
            order = np.argsort(words, kind="stable")
            self._sorted = words[order], clips[order], frames[order]
        return self._sorted


def _compare(mine: Fingerprint, theirs: Fingerprint, shift: int) -> tuple[float, int] | None:
    """The smallest share of bits that differ over a run of frames, if it is small enough, and my frame there."""
    first, last = max(0, shift), min(len(mine.words), len(theirs.words) + shift)
    if last - first < _RUN:
        return None
    loud = mine.loud[first:last] & theirs.loud[first - shift : last - shift]
    differ = np.bitwise_count(mine.words[first:last] ^ theirs.words[first - shift : last - shift]) * loud
    sums, counts = (np.concatenate([[0], np.cumsum(values, dtype=np.int64)]) for values in (differ, loud))
    runs, loud_runs = sums[_RUN:] - sums[:-_RUN], counts[_RUN:] - counts[:-_RUN]
    share = np.where(loud_runs >= _LOUD, runs / (32 * np.maximum(loud_runs, 1)), 1.0)
    at = int(share.argmin())
    return (float(share[at]), first + at) if share[at] <= _MOST else None
