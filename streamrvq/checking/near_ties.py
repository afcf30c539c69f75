"""Are two runs the same codes, and where they are not, was it a near-tie?

Knows: how to count differing codes frame by frame, and how close the quantiser's call was there. Does not know: how
the runs were made. ``streamrvq check``, the demos and the tests count with this.

Two float32 runs of one network differ by rounding, so that a frame whose best two entries are all but equally near may
get either. A *near-tie* is a frame whose first differing level has, in float64, a gap of at most 2e-5 between the
cosines of the two codes. Later levels of the frame quantise another residual and are not counted.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..engine.base import Codes, Floats

#: Cosine gap up to which a difference is rounding. float32 carries 24 bits; a latent is a sum of thousands of products.
NEAR_TIE = 2e-5


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        frames: compared.
        differing_codes: codes that differ, all levels counted.
        differing_frames: frames with a differing code; each has one first differing level.
        near_ties: those of them that are near-ties.
        largest_gap: the largest cosine gap at a first differing level; 0.0 where nothing differs.
    """

    frames: int
    differing_codes: int
    differing_frames: int
    near_ties: int
    largest_gap: float

    @property
    def equal(self) -> bool:
        """No difference at all."""
        return self.differing_codes == 0

    @property
    def equal_but_for_near_ties(self) -> bool:
        """Every difference is a near-tie."""
        return self.differing_frames == self.near_ties


def compare(a: Codes, b: Codes, latents: Floats, codebooks: list[Floats]) -> Comparison:
    """Compare two runs over the same signal.

    Args:
        a, b: codes ``[K, T]``; frame counts must agree.
        latents: a float64 run's quantiser inputs ``[K · codebook_dim, T]`` (``encode(…, return_latents=True)``), the
            judge.
        codebooks: ``[codebook_size, codebook_dim]`` of each level.

    Raises:
        ValueError: other shapes; a missing frame is a difference that no tie explains.
    """
    if a.shape != b.shape:
        raise ValueError(f"runs gave codes {list(a.shape)} and {list(b.shape)}; wanted the same number of frames")
    differs = a != b
    frames = np.flatnonzero(differs.any(axis=0))
    levels = np.argmax(differs[:, frames], axis=0)
    gaps = [_gap(a, b, latents, codebooks, int(k), int(t)) for k, t in zip(levels, frames, strict=True)]
    return Comparison(
        frames=a.shape[1],
        differing_codes=int(differs.sum()),
        differing_frames=len(frames),
        near_ties=sum(gap <= NEAR_TIE for gap in gaps),
        largest_gap=max(gaps, default=0.0),
    )


def _gap(a: Codes, b: Codes, latents: Floats, codebooks: list[Floats], level: int, frame: int) -> float:
    book = codebooks[level].astype(np.float64)
    dim = book.shape[1]
    pair = book[[a[level, frame], b[level, frame]]]
    cosines = _unit(pair) @ _unit(latents[level * dim : (level + 1) * dim, frame].astype(np.float64))
    return float(abs(cosines[0] - cosines[1]))


def _unit(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    return unit
