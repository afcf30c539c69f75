"""Near-ties by either distance: a gap at the first differing level decides, and later levels do not count.

Knows: codebooks and latents made by hand. Does not know: codecs.
"""

from __future__ import annotations

import numpy as np
import pytest

from streamrvq.checking.near_ties import compare, scores
from streamrvq.geometry import Distance

BOOK = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]], np.float32)


def latents(x: float, y: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Of two levels, one frame."""
    return np.array([[x], [y], [1.0], [0.0]])


@pytest.mark.parametrize("distance", Distance)
def test_a_gap_at_the_first_level_decides(distance: Distance) -> None:
    a, b = np.array([[0], [0]]), np.array([[1], [2]])
    near = compare(a, b, latents(1.0, 1.00001), [BOOK, BOOK], distance)
    assert (near.differing_codes, near.differing_frames, near.near_ties) == (2, 1, 1)
    far = compare(a, b, latents(1.0, 1.1), [BOOK, BOOK], distance)
    assert (far.differing_frames, far.near_ties) == (1, 0)
    assert far.largest_gap > 1e-2


def test_euclidean_scores_choose_the_nearest_whatever_its_length() -> None:
    found = scores(latents(2.0, 1.8), [BOOK, BOOK], 0, 0, Distance.EUCLIDEAN)
    assert int(found.argmax()) == int(np.square(BOOK - [2.0, 1.8]).sum(1).argmin()) == 2
    assert int(scores(latents(0.9, 0.8), [BOOK, BOOK], 0, 0, Distance.EUCLIDEAN).argmax()) == 0
    assert int(scores(latents(0.9, 0.8), [BOOK, BOOK], 0, 0, Distance.COSINE).argmax()) == 2


def test_of_unit_vectors_both_gaps_are_the_same() -> None:
    rng = np.random.default_rng(0)
    book = rng.standard_normal((16, 5))
    book /= np.linalg.norm(book, axis=1, keepdims=True)
    x = rng.standard_normal((5, 1))
    x /= np.linalg.norm(x)
    both = [scores(x, [book], 0, 0, distance) for distance in Distance]
    np.testing.assert_allclose(both[0] - both[0][0], both[1] - both[1][0], atol=1e-12)
