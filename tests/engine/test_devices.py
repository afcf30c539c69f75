"""Where an engine computes: which names of devices and engines go together, and what the others are told.

Knows: `make_engine` and the codecs on it. Does not know: GPUs: the device here is
emulated (tests/support/contract.py).
"""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest

from streamrvq.codec import Codec, load
from streamrvq.engine import cuda
from streamrvq.errors import EngineError
from tests.support.contract import BUILT, CUDA, minute, weights_of
from tests.support.cuda.emulated import emulated_device

needs_emulator = pytest.mark.skipif(not CUDA, reason="the kernels cannot be compiled here")


@needs_emulator
@pytest.mark.parametrize(
    "settings, opened",
    [
        ({"engine": "cuda"}, "cuda:0"),
        ({"device": "cuda"}, "cuda"),
        ({"device": "cuda:1"}, "cuda:1"),
        ({"engine": "cuda", "device": "cuda:2"}, "cuda:2"),
    ],
)
def test_a_card_is_opened_by_its_name(settings: dict[str, Any], opened: str) -> None:
    with mock.patch.object(cuda, "open_device", return_value=emulated_device()) as opening:
        codec = Codec(weights_of(minute()), **settings)
    opening.assert_called_once_with(opened)
    assert codec.engine.name == "cuda"
    assert codec.engine.description == f"cuda, float32, emulated on the CPU ({opened})"
    with mock.patch.object(cuda, "open_device", return_value=emulated_device()) as opening:
        assert pickle.loads(pickle.dumps(codec)).engine.description == codec.engine.description
    opening.assert_called_once_with(opened)


@pytest.mark.parametrize("engine", ["auto", *BUILT])
def test_the_cpu_is_a_device_too(engine: str) -> None:
    assert Codec(weights_of(minute()), engine=engine, device="cpu").engine.name in BUILT


def test_nobody_computes_on_a_card_unasked() -> None:
    with mock.patch.object(cuda, "open_device") as opening:
        assert Codec(weights_of(minute())).engine.name in BUILT
    opening.assert_not_called()


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"device": "mps"}, "device is 'mps'; wanted 'cpu', 'cuda' or 'cuda:N'"),
        ({"device": 0}, "device is 0; wanted 'cpu', 'cuda' or 'cuda:N'"),
        ({"device": "cpu:0"}, "device is 'cpu:0'; wanted 'cpu', 'cuda' or 'cuda:N'"),
        ({"engine": "torch", "device": "cuda"}, "engine='torch' does not compute on device='cuda'; leave one of the"),
        ({"engine": "cuda", "device": "cpu"}, "engine='cuda' does not compute on device='cpu'; leave one of the two"),
        ({"device": "cuda", "dtype": "float64"}, "computes in float32, not float64; use engine='torch' for that"),
        ({"device": "cuda:1", "threads": 2}, "threads is 2, but the cuda engine computes on cuda:1; leave threads out"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(EngineError) as refusal:
        Codec(weights_of(minute()), **settings)
    assert words in str(refusal.value)


@needs_emulator
def test_a_loaded_codec_keeps_no_second_copy_of_its_weights() -> None:
    codec = load("causal-44khz", device="cuda")
    assert codec._weights is None
    assert codec.weights.codec_hash == codec.codec_hash
