"""A codec is a value: copied, pickled and unpickled it is the same codec, or a sentence says what to do.

Knows: pickles in one process. Does not know: other processes (test_codec_processes.py), streams (streaming/).
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.config import PRESETS
from streamrvq.engine import make_engine
from streamrvq.errors import EngineError, WeightsError
from streamrvq.weights import load_weights, save_weights
from tests.support.contract import ENGINE_DTYPES, ENGINES, codec_of, minute, noise, weights_of
from tests.support.copying.ways import copies, pickled


def same(codec: Codec, *others: Codec) -> None:
    """All are one codec: in name and engine, and in what they compute from a short signal."""
    pcm = noise(103)  # 13 hops, the last one not whole: more than the delay of 8
    codes = codec.encode(pcm)
    decoded = codec.decode(codes)
    for other in others:
        assert other.codec_hash == codec.codec_hash
        assert (other.config, other.name, other.trained) == (codec.config, codec.name, codec.trained)
        assert other.engine.description == codec.engine.description
        if other is not codec:  # a copy is the codec itself
            np.testing.assert_array_equal(other.encode(pcm), codes)
            np.testing.assert_array_equal(other.decode(codes), decoded)


def own(engine: str) -> dict[str, Any]:
    """A setting of each engine that a copy must keep: it is in the engine's description."""
    return {"device": "cuda:3"} if engine == "cuda" else {"threads": 2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_weights(weights_of(minute()), tmp_path / "codec.safetensors")
    return tmp_path / "codec.safetensors"


@copies
@pytest.mark.parametrize("engine, dtype", ENGINE_DTYPES)
def test_a_codec_that_was_loaded(copied: Callable[[Any], Any], engine: str, dtype: str, path: Path) -> None:
    codec = load(path, engine=engine, dtype=dtype, **own(engine))
    same(codec, copied(codec), copied(copied(codec)))


@copies
@pytest.mark.parametrize("engine, dtype", ENGINE_DTYPES)
def test_a_codec_of_tensors(copied: Callable[[Any], Any], engine: str, dtype: str) -> None:
    codec = Codec(weights_of(minute()), engine=engine, dtype=dtype, **own(engine))
    same(codec, copied(codec), copied(copied(codec)))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pickle_names_the_file(engine: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small, and from whatever folder it is read."""
    monkeypatch.chdir(path.parent)
    for codec in (load(path.name, engine=engine), Codec(load_weights(path.name), engine=engine)):
        pickled = pickle.dumps(codec)
        assert len(pickled) < 1000
        monkeypatch.chdir("/")
        same(codec, pickle.loads(pickled))
        monkeypatch.chdir(path.parent)


@pytest.mark.parametrize("preset", ["causal-44khz", "rvq-breakdown"])
def test_a_pickle_names_the_preset(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be it trained or seeded."""
    assert preset in PRESETS
    monkeypatch.setitem(PRESETS, "rvq-breakdown", minute())  # which is wide, and seeded whenever it is loaded
    codec = load(preset)
    pickled = pickle.dumps(codec)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).codec_hash == codec.codec_hash


def test_a_codec_whose_file_has_changed(path: Path) -> None:
    pickled = pickle.dumps(load(path))
    save_weights(weights_of(minute(), 1), path)
    with pytest.raises(WeightsError, match=r"codec\.safetensors has changed since it was loaded: .*; load it again"):
        pickle.loads(pickled)


def test_a_codec_whose_file_is_gone(path: Path) -> None:
    pickled = pickle.dumps(load(path))
    path.unlink()
    with pytest.raises(WeightsError, match=r"a codec that was loaded from .*codec\.safetensors cannot be read again"):
        pickle.loads(pickled)


def test_an_engine_that_was_given_is_not_pickled() -> None:
    weights = weights_of(minute())
    codec = Codec(weights, engine=make_engine(weights.config, weights.tensors, "torch"))
    same(codec, copy.deepcopy(codec))
    with pytest.raises(EngineError, match="computes on an engine that was given to it, which cannot be pickled;"):
        pickle.dumps(codec)


def test_weights_travel_as_numbers_and_stay_read_only(path: Path) -> None:
    weights = load_weights(path)
    came = pickle.loads(pickle.dumps(weights))
    assert came.codec_hash == weights.codec_hash
    assert not any(tensor.flags.writeable for tensor in came.tensors.values())
    assert came.source is None
    assert copy.deepcopy(weights) is weights


@copies
@pytest.mark.parametrize("engine", ENGINES)
def test_states_do_not_share_memory(copied: Callable[[Any], Any], engine: str) -> None:
    """A copied address would point into the other's memory, or nowhere."""
    of = codec_of(minute(), "float32", engine).engine
    states = of.new_states(1, "encode")
    ints = [np.array([n]) for n in (0, 0, -1)]
    of.encode_step(noise(80)[None], states, *ints, 3)
    before = of.export_state(states, 0)
    if (engine, copied) == ("cuda", pickled):  # a GPU's memory stays on the GPU
        with pytest.raises(EngineError, match="the states of a GPU cannot be pickled; pickle a stream"):
            copied(states)
        return
    other = copied(states)
    of.encode_step(noise(80, 1)[None], other, np.array([0]), np.array([10]), np.array([-1]), 3)
    for was, left, went in zip(before, of.export_state(states, 0), of.export_state(other, 0), strict=True):
        np.testing.assert_array_equal(left, was)
        assert not np.array_equal(went, was)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_of_its_process(engine: str) -> None:
    mine = codec_of(minute(), "float32", engine).engine
    assert copy.deepcopy(mine) is mine
    with pytest.raises(EngineError, match="cannot be pickled; pickle its codec"):
        pickle.dumps(mine)
