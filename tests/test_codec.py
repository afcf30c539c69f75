"""The doors of a codec: its engine, an engine that is passed in, and its pools.

Knows: the public API. Does not know: what an engine computes (tests/engine).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.engine import make_engine
from streamrvq.errors import EngineError, InputError
from streamrvq.streaming.pool import StreamPool
from streamrvq.weights import save_weights
from tests.support.contract import EXACT, EXACT_ONE, codec_of, minute, noise, weights_of


class Counting:
    """An engine that counts its steps."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.steps = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_step(self, *args: Any) -> Any:
        self.steps += 1
        return self.inner.encode_step(*args)


class Wide(Counting):
    """An engine that likes 300 rows × hops in a step, and notes what it gets."""

    row_hops = 300

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.sizes: list[tuple[int, int]] = []

    def encode_step(self, *args: Any) -> Any:
        self.sizes.append((args[0].shape[0], args[0].shape[1] // 8))
        return super().encode_step(*args)

    def decode_step(self, *args: Any) -> Any:
        self.sizes.append((args[0].shape[0], args[0].shape[2]))
        return self.inner.decode_step(*args)


def test_whole_signals_take_steps_of_the_size_that_the_engine_likes() -> None:
    usual = codec_of(minute(causal=True))
    engine = Wide(usual.engine)
    codec, pcm = Codec(weights_of(usual.config), engine=engine), np.stack([noise(8 * 250, row) for row in range(3)])
    codes = codec.encode(pcm)
    np.testing.assert_array_equal(codes, usual.encode(pcm))
    assert engine.sizes == [(3, 100), (3, 100), (3, 50)]
    engine.sizes.clear()
    np.testing.assert_array_equal(codec.decode(codes), usual.decode(codes))
    assert engine.sizes[:2] == [(3, 100), (3, 100)]


def test_an_engine_can_be_passed_in() -> None:
    weights, usual = weights_of(minute()), codec_of(minute())
    engine = Counting(make_engine(weights.config, weights.tensors, EXACT_ONE, dtype=EXACT[EXACT_ONE]))
    codec = Codec(weights, engine=engine)
    assert codec.engine is engine
    assert codec.dtype == EXACT[EXACT_ONE]
    np.testing.assert_array_equal(codec.encode(noise(500)), usual.encode(noise(500)))
    stepped = engine.steps
    assert stepped > 0
    pool = codec.pool(1)
    pool.feed(pool.open(), noise(500))
    batch = pool.next_batch()
    assert batch is not None
    batch.run()
    assert engine.steps == stepped + 1


def test_a_file_can_be_loaded_onto_an_engine(tmp_path: Any) -> None:
    weights = weights_of(minute())
    save_weights(weights, tmp_path / "codec.safetensors")
    engine = make_engine(weights.config, weights.tensors, EXACT_ONE)
    assert load(tmp_path / "codec.safetensors", engine=engine).engine is engine


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"threads": 2}, "threads 2, dtype float32, device None came with an engine"),
        ({"dtype": "float64"}, "threads None, dtype float64, device None came with an engine"),
        ({"device": "cuda"}, "threads None, dtype float32, device cuda came with an engine"),
    ],
)
def test_an_engine_has_its_own_settings(settings: dict[str, Any], words: str) -> None:
    weights = weights_of(minute())
    engine = make_engine(weights.config, weights.tensors, EXACT_ONE)
    with pytest.raises(EngineError, match=words):
        Codec(weights, engine=engine, **settings)


def test_an_engine_of_another_codec_is_refused() -> None:
    other = codec_of(minute((2, 2))).engine
    with pytest.raises(EngineError, match="was made for another codec than seeded; make it from these weights"):
        Codec(weights_of(minute()), engine=other)


def test_the_engine_says_what_it_is() -> None:
    codec = codec_of(minute())
    assert codec.engine.name == EXACT_ONE
    assert codec.engine.description in repr(codec)


def test_a_pool_has_the_directions_unit() -> None:
    codec = codec_of(minute())
    assert (codec.pool(3).slots, codec.pool(3).unit) == (3, codec.hop_length)
    assert codec.pool(1, "decode").unit == 1
    with pytest.raises(InputError, match="direction is 'both'"):
        codec.pool(1, "both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="max_hops is 0"):
        codec.pool(1, max_hops=0)


@pytest.mark.parametrize("engine", [None, 3, object()])
def test_what_is_no_engine_is_refused(engine: Any) -> None:
    with pytest.raises(EngineError, match="wanted 'auto', 'native', 'torch' or 'cuda'"):
        Codec(weights_of(minute()), engine=engine)


@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize("threads", [True, False, 0, 1.0, "2", 1025, 1 << 70], ids=str)
def test_what_is_no_number_of_threads_is_refused(engine: str, threads: Any) -> None:
    with pytest.raises(EngineError, match=r"threads is .*; wanted (a whole number of at least 1|at most 1024)"):
        Codec(weights_of(minute()), engine=engine, threads=threads)


def test_numpys_number_of_threads_is_pythons() -> None:
    codec = Codec(weights_of(minute()), engine=EXACT_ONE, dtype=str(EXACT[EXACT_ONE]), threads=np.int64(1))  # type: ignore[arg-type]
    assert codec.engine.description.endswith(", 1 thread")


def test_a_pool_of_a_codec_says_how_to_make_one() -> None:
    with pytest.raises(InputError, match=r"use codec\.pool\(slots\)"):
        StreamPool(codec_of(minute()), 2)  # type: ignore[arg-type]


def test_an_engine_reads_as_its_description() -> None:
    engine = codec_of(minute()).engine
    assert str(engine) == engine.description
