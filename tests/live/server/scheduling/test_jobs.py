"""What waits in a lane comes off it in order, in pieces of one kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.scheduling.jobs import Jobs, Silence


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), max_size=8), st.integers(1, 12))
def test_codes_of_any_levels_come_in_order(blocks, most):
    jobs, wanted, came = Jobs(), [], []
    for levels, frames in blocks:
        codes = np.arange(levels * frames, dtype=np.uint16).reshape(levels, frames)
        jobs.add(codes)
        wanted += [tuple(column) for column in codes.T.tolist()]
    while jobs:
        part = jobs.take(most)
        assert 1 <= part.shape[-1] <= most
        came += [tuple(column) for column in part.T.tolist()]
    assert came == wanted


def test_what_is_alike_comes_in_one_piece():
    jobs = Jobs()
    for levels in (3, 3, 1, 1, 3):
        jobs.add(np.zeros((levels, 4), np.uint16))
    assert [jobs.take(100).shape for _ in range(3)] == [(3, 8), (1, 8), (3, 4)]
    assert not jobs


@pytest.mark.parametrize("kinds", [(np.int16, np.float32), (np.float32, np.int16)])
def test_samples_silence_and_endings_are_not_joined(kinds):
    jobs = Jobs()
    for job in (*(np.ones(4, kind) for kind in kinds), Silence(4), np.ones(4, kinds[1]), "segment", np.ones(4)):
        jobs.add(job)
    assert [(len(part), part.dtype, part[0]) for part in (jobs.take(100) for _ in range(4))] == [
        (4, kinds[0], 1), (4, kinds[1], 1), (4, np.float32, 0), (4, kinds[1], 1),
    ]  # fmt: skip
    assert jobs.take_ending() == "segment"
    assert jobs.take_ending() is None
