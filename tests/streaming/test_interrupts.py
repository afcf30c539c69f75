"""An exception from a signal handler at every bytecode of a stream's calls: never a wrong code without an error.

Knows: `push`, `flush`, `snapshot` of both directions on both engines, and a caller that goes on as the documentation
says. test_pool_interrupts.py does the same for the pool, test_signals.py with real signals.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.errors import SnapshotError, StreamClosedError
from streamrvq.streaming.decoder import DecoderStream
from streamrvq.streaming.encoder import EncoderStream
from tests.support.contract import ENGINE_DTYPES, minute, noise, weights_of
from tests.support.interrupting import ARITHMETIC, EXCEPTIONS, LAST_PLACES, Interrupt, after, every_place

#: Hops that an engine likes in one step here, so that two steps need no long signal.
MOST_HOPS = 16
HOPS = 24  # two steps
#: As in interrupting.py, with fewer places of the engines whose steps cost more: here calls have several steps.
STRIDE = {"native": 1, "torch": 13, "cuda": 23}
EXACT = [pair for pair in ENGINE_DTYPES if pair != ("torch", "float32")]


@lru_cache
def codec_for(engine: str, dtype: str) -> Codec:
    """Few layers, for all are computed alike. With one stride, torch's samples would depend on the hops of a step."""
    config = minute((8,), causal=False)
    if engine == "torch":
        config = dataclasses.replace(config, decoder_rates=(4, 2))
    codec = Codec(weights_of(config), engine=engine, dtype=dtype)
    codec.engine.row_hops = MOST_HOPS
    return codec


@lru_cache(maxsize=64)
def signal_of(codec: Codec, direction: str, hops: int, rate: int | None) -> tuple[Any, Any]:
    """A signal with so many hops after its beginning, and what it gives when nothing is interrupted."""
    if direction == "encode":
        pcm = noise(53 + hops * codec.hop_length, seed=5)
        return pcm, codec.encode(pcm, sample_rate=rate)
    codes = np.random.default_rng(5).integers(0, codec.config.codebook_size, (codec.n_codebooks, 7 + hops))
    return codes, codec.decode(codes, rate)


class Caller:
    """Pushes a signal piece by piece, and goes on after exceptions as the documentation says."""

    def __init__(self, codec: Codec, direction: str, hops: int, rate: int | None = None) -> None:
        self.encodes = direction == "encode"
        self.stream: Any
        self.signal, self.wanted = signal_of(codec, direction, hops, rate)
        self.stream = codec.stream(rate) if self.encodes else codec.decoder_stream(sample_rate=rate)
        self.parts: list[tuple[int, Any]] = []  # where each begins, and what came
        self.push(53 if self.encodes else 7)

    @property
    def taken(self) -> int:
        """Inputs that the stream has taken."""
        return int(self.stream.samples_received if self.encodes else self.stream.frames_received)

    @property
    def given(self) -> int:
        return int(self.stream.frames_given if self.encodes else self.stream.samples_given)

    def push(self, end: int | None = None) -> None:
        """Up to input ``end``, or all."""
        start = self.given
        self.parts.append((start, self.stream.push(self.signal[..., self.taken : end])))

    def flush(self) -> None:
        start = self.given
        self.parts.append((start, self.stream.flush()))

    def finish(self) -> None:
        """Everything that is left, whatever was interrupted."""
        if self.taken < self.signal.shape[-1]:
            self.push()
        if not self.stream.closed:
            self.flush()

    def missing(self) -> int:
        """Compare all that came, each part at its place. Returns how many outputs did not come."""
        came = np.zeros(self.wanted.shape[-1], int)
        for start, part in self.parts:
            assert np.array_equal(part, self.wanted[..., start : start + part.shape[-1]])
            came[start : start + part.shape[-1]] += 1
        assert came.max() <= 1, "an output came twice"
        return int((came == 0).sum())


def interrupted(caller: Caller, call: str, interrupt: Interrupt) -> None:
    with interrupt:
        if call == "push":
            caller.push(-5)
        elif call == "flush":
            caller.flush()
        else:
            caller.stream.snapshot()


@pytest.mark.parametrize("call", ["push", "flush", "snapshot"])
@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize(("engine", "dtype"), EXACT)
def test_an_exception_at_any_place_costs_no_output(engine: str, dtype: str, direction: str, call: str) -> None:
    codec, places, late = codec_for(engine, dtype), 0, 0
    # Both directions share most places, so each takes those between the other's.
    first = STRIDE[engine] // 2 if direction == "decode" else 0
    for interrupt in every_place(STRIDE[engine], ARITHMETIC, first):
        caller = Caller(codec, direction, HOPS if call == "push" else 0)
        interrupted(caller, call, interrupt)
        caller.finish()
        late += bool(caller.missing())
        places += 1
    assert places > 20, "hardly a place was tried"
    assert late <= LAST_PLACES


@pytest.mark.parametrize("call", ["push", "flush", "snapshot"])
@pytest.mark.parametrize("factor", [2, 0.5], ids=["faster", "slower"])
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_an_exception_around_a_resampler_costs_no_output(direction: str, factor: float, call: str) -> None:
    codec, places, late = codec_for(*EXACT[-1]), 0, 0
    rate = int(codec.sample_rate * factor)
    for interrupt in every_place(by_line=ARITHMETIC):
        caller = Caller(codec, direction, HOPS if call == "push" else 0, rate)
        interrupted(caller, call, interrupt)
        caller.finish()
        late += bool(caller.missing())
        places += 1
    assert places > 20, "hardly a place was tried"
    assert late <= LAST_PLACES


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(("engine", "dtype"), EXACT)
def test_nothing_is_left_of_an_interrupted_encode_or_decode(engine: str, dtype: str, rows: int) -> None:
    codec = codec_for(engine, dtype)
    pcm = np.stack([noise(53, seed=row) for row in range(rows)])
    codes = codec.encode(pcm)
    decoded = codec.decode(codes)
    for interrupt in every_place(31 * STRIDE[engine], ARITHMETIC):
        with interrupt:
            codec.encode(pcm)
            codec.decode(codes)
        np.testing.assert_array_equal(codec.encode(pcm), codes)
        np.testing.assert_array_equal(codec.decode(codes), decoded)


@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize(("engine", "dtype"), EXACT)
def test_streams_that_were_not_made_leave_nothing(engine: str, dtype: str, direction: str) -> None:
    codec = codec_for(engine, dtype)
    caller = Caller(codec, direction, HOPS)
    parked = caller.stream.snapshot()
    rest = Caller(codec, direction, HOPS)
    rest.push()
    rest.flush()
    make = codec.stream if direction == "encode" else codec.decoder_stream
    for interrupt in every_place(5 * STRIDE[engine], ARITHMETIC):
        with interrupt:
            make(snapshot=parked)
    caller.stream = make(snapshot=parked)
    caller.finish()
    assert not caller.missing()


class Interrupted:
    """An engine whose step number ``which`` is interrupted just as it returns."""

    def __init__(self, inner: Any, which: int, exception: type[BaseException]) -> None:
        self.inner = inner
        self.encode_step = after(inner.encode_step, which, exception)
        self.decode_step = after(inner.decode_step, which, exception)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize("which", [1, 2, 3])
@pytest.mark.parametrize("exception", EXCEPTIONS)
@pytest.mark.parametrize("direction", ["encode", "decode"])
@pytest.mark.parametrize(("engine", "dtype"), EXACT)
def test_an_exception_as_a_step_returns_costs_no_output(
    engine: str, dtype: str, direction: str, exception: type[BaseException], which: int
) -> None:
    codec, caught = codec_for(engine, dtype), 0
    caller = Caller(codec, direction, HOPS)
    kind = EncoderStream if caller.encodes else DecoderStream
    caller.stream = kind(Interrupted(codec.engine, which, exception), codec.codec_hash)
    caller.parts.clear()
    while not caller.stream.closed:
        try:
            while caller.taken < caller.signal.shape[-1]:
                caller.push(caller.taken + 20 * (codec.hop_length if caller.encodes else 1))
            caller.flush()
        except exception:
            caught += 1
            with pytest.raises((SnapshotError, StreamClosedError)):
                caller.stream.snapshot()
    assert caught == 1
    assert not caller.missing()
