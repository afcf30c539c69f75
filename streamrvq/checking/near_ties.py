"""Do two runs give the same codes, and if not, were the differences near-ties?

Two float32 runs of one network differ by rounding. So a frame whose two best entries are almost equally near may get
either of them. A *near-tie* is a frame whose two codes, at its first differing level, have scores at most 2e-5 apart
in float64. Later levels of the frame quantise another residual and are not counted.

A score is the cosine of entry and latent; or, where the nearest entry is sought, the squared distance, as a share of
the squares of the latent and its nearest entry. Of vectors of length 1 that is half the squared distance, and differs
as the cosine does.

Knows: how to count differing codes frame by frame, and how close the quantiser's decision was. Does not know: how the
runs were made. ``streamrvq check``, the demos and the tests count with this.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..engine.base import Codes, Floats
from ..geometry import Distance

#: A difference of scores up to this is rounding. float32 has 24 bits, and a latent is a sum of thousands of products.
NEAR_TIE = 2e-5


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        frames: how many were compared.
        differing_codes: how many codes differ, on all levels.
        differing_frames: how many frames have a differing code.
        near_ties: how many of these frames are near-ties.
        largest_gap: the largest gap of scores at the first differing level of a frame; 0.0 if nothing differs; None if
            there were no latents to measure it with.
    """

    frames: int
    differing_codes: int
    differing_frames: int
    near_ties: int
    largest_gap: float | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.differing_codes == 0

    @property
    def equal_but_for_near_ties(self) -> bool:
        """Whether every difference is a near-tie."""
        return self.differing_frames == self.near_ties


def compare(
    a: Codes, b: Codes, latents: Floats | None, codebooks: list[Floats], distance: Distance = Distance.COSINE
) -> Comparison:
    """Compare two runs on the same signal.

    Args:
        a, b: codes ``[K, T]``, with the same number of frames.
        latents: the quantiser inputs ``[K · codebook_dim, T]`` of a float64 run (``encode(…, return_latents=True)``),
            which decide. None: there is no such run, and no difference is taken for a near-tie.
        codebooks: ``[codebook_size, codebook_dim]`` of each level.
        distance: by which their entries are chosen.

    Raises:
        ValueError: the shapes differ. A missing frame is not a near-tie.
    """
    if a.shape != b.shape:
        raise ValueError(f"runs gave codes {list(a.shape)} and {list(b.shape)}; wanted the same number of frames")
    differs = a != b
    frames = np.flatnonzero(differs.any(axis=0))
    levels = np.argmax(differs[:, frames], axis=0)
    gaps = [] if latents is None else [
        float(abs(np.diff(scores(latents, codebooks, int(k), int(t), distance)[[a[k, t], b[k, t]]])[0]))
        for k, t in zip(levels, frames, strict=True)
    ]  # fmt: skip
    return Comparison(
        frames=a.shape[1],
        differing_codes=int(differs.sum()),
        differing_frames=len(frames),
        near_ties=sum(gap <= NEAR_TIE for gap in gaps),
        largest_gap=None if len(gaps) < len(frames) else max(gaps, default=0.0),
    )


def scores(
    latents: Floats, codebooks: list[Floats], level: int, frame: int, distance: Distance
) -> npt.NDArray[np.float64]:
    """How near each entry of a level is to a frame's latent, ``[codebook_size]``, the greatest the nearest."""
    book = codebooks[level].astype(np.float64)
    dim = book.shape[1]
    latent = latents[level * dim : (level + 1) * dim, frame].astype(np.float64)
    if distance == Distance.COSINE:
        cosines: npt.NDArray[np.float64] = _unit(book) @ _unit(latent)
        return cosines
    distances = np.square(book - latent).sum(axis=1)
    nearest = np.square(book[distances.argmin()]).sum()
    shares: npt.NDArray[np.float64] = -distances / max(np.square(latent).sum() + nearest, 1e-24)
    return shares


def _unit(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    return unit
