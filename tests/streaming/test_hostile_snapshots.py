"""Hostile snapshots: refused in one line, or a stream like any other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.safetensors_files import broken_safetensors
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets

NAMES = ["snapshot", "snapshot-decoder"]
RIGHT = {name: targets()[name].seeds()[-1] for name in NAMES}
RESAMPLED = {name: targets()[name].seeds()[-2] for name in NAMES}


both = pytest.mark.parametrize("right", [RIGHT, RESAMPLED], ids=["plain", "resampled"])


@both
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_snapshot_with_one_thing_broken(right: dict[str, bytes], name: str, data: st.DataObject) -> None:
    assert_survives(name, data.draw(broken_safetensors(right[name])))


@both
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_header_with_one_thing_broken(right: dict[str, bytes], name: str, data: st.DataObject) -> None:
    arrays = dict(load_tensors(right[name]))
    text = data.draw(broken_json(json.loads(arrays["header"].tobytes())))
    arrays["header"] = np.frombuffer(text, np.uint8)
    assert_survives(name, bytes(save_tensors(arrays)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [-1, 0, 2**52, 2**62, 2**63, 2**64, 10**40])
def test_a_resampler_that_has_taken_too_much(name: str, count: int) -> None:
    arrays = dict(load_tensors(RESAMPLED[name]))
    header = json.loads(arrays["header"].tobytes()) | {"samples_resampled": count}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    assert_survives(name, bytes(save_tensors(arrays)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clock", [2**52, 2**53 - 1, 2**59, 2**62, 2**63, 2**64])
def test_a_clock_at_the_end_of_all_numbers(name: str, clock: int) -> None:
    arrays = dict(load_tensors(RIGHT[name]))
    header = json.loads(arrays["header"].tobytes()) | {"clock": clock}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    assert_survives(name, bytes(save_tensors(arrays)))
