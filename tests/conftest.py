"""Fixtures of the core's tests: small codecs, real audio, one thread, a Hypothesis profile without deadlines."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

from streamrvq.codec import Codec
from tests.support.command import codec, pipe, run, wav, weights
from tests.support.contract import TORCH, codec_of, minute, tiny
from tests.support.paths import AUDIO

__all__ = ["codec", "pipe", "run", "wav", "weights"]  # fixtures

# A shell that starts a run in the background has it ignore Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from what lives until the end: the tests, torch, pandas, 560 000 objects.

    A full collection of them took 0.3 s, and a run has hundreds. What tests make is collected, but less often than by
    default: most of it is gone before the collector would look at it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


# Servers of tests are on loopback, to which a proxy of another machine leads nowhere. Processes inherit this.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

# No test asks a server for a codec, save those that start one. huggingface_hub reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

with suppress(ImportError):  # tests/support/environments/without_torch.py runs a slice of the suite without
    import torch

    torch.set_num_threads(1)  # the models are too small for two, and xdist's workers share the cores

# The fixtures of one function that Hypothesis would warn of are plain values here.
_SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]
settings.register_profile("dev", deadline=None, suppress_health_check=_SLOW, max_examples=40)
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


class RealAudio:
    """The clips in tests/data/audio that are mono at 44.1 kHz, read once."""

    def __init__(self) -> None:
        paths = sorted(AUDIO.glob("*.ogg"))
        self.clips: dict[str, np.ndarray[Any, Any]] = {}
        for path in paths:
            pcm, rate = soundfile.read(path, dtype="float32")
            assert rate == 44100, path
            assert pcm.ndim == 1, path
            self.clips[path.stem] = pcm

    @property
    def seconds(self) -> float:
        return sum(len(pcm) for pcm in self.clips.values()) / 44100

    def excerpt(self, seconds: float, *, start: float = 1.0, clip: str = "loops_01") -> np.ndarray[Any, Any]:
        """A piece of one clip."""
        first = round(start * 44100)
        return self.clips[clip][first : first + round(seconds * 44100)]


@pytest.fixture(scope="session")
def real_audio() -> RealAudio:
    return RealAudio()


@pytest.fixture(params=["causal", "symmetric"])
def causal(request: pytest.FixtureRequest) -> bool:
    """Both kinds of weights."""
    return bool(request.param == "causal")


@pytest.fixture(params=["float64", "float32"] if TORCH else ["float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    """Both precisions."""
    return str(request.param)


@pytest.fixture
def tiny_codec(causal: bool, dtype: str) -> Codec:
    """Width 8, strides 2·4·8·8."""
    return codec_of(tiny(causal=causal), dtype)


@pytest.fixture
def minute_codec(causal: bool) -> Codec:
    """Width 2, hop 8, exact."""
    return codec_of(minute(causal=causal))
