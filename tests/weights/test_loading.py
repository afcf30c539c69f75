"""A file of weights is read once: its tensors are parts of what was read, where they need not be converted.

Knows: the file format. Does not know: damaged files (test_hostile.py), what codecs compute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from streamrvq.weights import Weights, load_weights, save_weights
from streamrvq.weights.tensorfile import read_tensors
from tests.support.small_codec import same


def owner(value: Any) -> Any:
    """What has a tensor's numbers in the end."""
    while isinstance(value, np.ndarray):
        value = value.base
    return value


def test_what_is_in_float32_is_not_copied(weights: Weights, tmp_path: Path) -> None:
    save_weights(weights, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    assert same(loaded, weights)
    assert {type(owner(value)) for value in loaded.tensors.values()} == {memoryview}
    assert len({id(owner(value).obj) for value in loaded.tensors.values()}) == 1
    assert not any(value.flags.writeable for value in loaded.tensors.values())


@pytest.mark.parametrize("spaces", range(8))
def test_a_file_whose_numbers_begin_anywhere(weights: Weights, tmp_path: Path, spaces: int) -> None:
    """The format allows it, though its own library begins them at a multiple of eight."""
    path = tmp_path / "w.safetensors"
    save_weights(weights, path)
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start])).encode() + b" " * spaces
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[start:])
    assert same(load_weights(path), weights)
    assert all(value.flags.aligned for value in load_weights(path).tensors.values())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.bool_, np.uint8])
def test_each_type_is_read_as_it_is(tmp_path: Path, dtype: Any) -> None:
    wanted: npt.NDArray[Any] = np.arange(24).reshape(2, 3, 4).astype(dtype)
    save_file(
        {"a": wanted, "none": wanted[:0], "one": wanted[0, 0, 1:2].reshape(())},
        path := tmp_path / "x.safetensors",
        {"k": "v"},
    )
    tensors, metadata = read_tensors(path, lambda *_: 1 << 20)
    assert metadata == {"k": "v"}
    assert (tensors["none"].shape, tensors["one"].shape) == ((0, 3, 4), ())
    np.testing.assert_array_equal(tensors["a"], wanted)
    assert tensors["a"].dtype == dtype


def test_what_somebody_may_change_is_copied(weights: Weights) -> None:
    numbers = bytearray(b"".join(value.tobytes() for value in weights.tensors.values()))
    given, at = {}, 0
    for name, value in weights.tensors.items():
        part = memoryview(numbers)[at : at + value.nbytes].toreadonly()
        given[name] = np.frombuffer(part, np.float32).reshape(value.shape)
        at += value.nbytes
    taken = Weights.from_tensors(weights.config, given, name="x", trained=True)
    numbers[:] = bytes(len(numbers))
    assert same(taken, weights)
