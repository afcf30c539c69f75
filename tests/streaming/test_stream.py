"""EncoderStream and DecoderStream: what may be pushed when, and that refusals leave a stream as it was.

Knows: the public API and snapshots as the view of a stream's state. Does not know: how a step is computed.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.codec import Codec
from streamrvq.errors import InputError, SnapshotError, StreamBusyError, StreamClosedError
from streamrvq.streaming.decoder import DecoderStream
from streamrvq.streaming.encoder import EncoderStream
from tests.support.contract import BUILT, EXACT, codec_of, minute, noise, streamed
from tests.support.patience import PATIENCE

PCM = noise(400, seed=7)


def state(stream: Any) -> bytes:
    """All of a stream's state."""
    return bytes(stream.snapshot().to_bytes())


def codes_for(codec: Codec, frames: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, codec.config.codebook_size, (codec.n_codebooks, frames))


# ---------------------------------------------------------------------------------------------- push and flush


def test_pushes_and_flush_are_encode(minute_codec: Codec) -> None:
    stream, delay = minute_codec.stream(), minute_codec.delay_frames
    first = stream.push(PCM[:100])
    assert first.dtype == np.int64
    assert first.shape == (3, max(0, 12 - delay))
    assert stream.frames_given == first.shape[1]
    assert stream.samples_received == 100
    assert not stream.closed
    rest = [stream.push(PCM[100:]), stream.flush()]
    assert stream.closed
    codes = np.concatenate([first, *rest], axis=1)
    np.testing.assert_array_equal(codes, minute_codec.encode(PCM))
    assert stream.frames_given == codes.shape[1] == 50


def test_empty_pushes_give_no_codes_and_change_nothing(minute_codec: Codec) -> None:
    stream = minute_codec.stream()
    stream.push(PCM[:77])
    before = state(stream)
    for empty in (np.zeros(0, np.float32), np.zeros(0, np.int16), torch.zeros(0)):
        assert stream.push(empty).shape == (3, 0)
    assert state(stream) == before
    decoder = minute_codec.decoder_stream()
    decoder.push(codes_for(minute_codec, 5))
    before = state(decoder)
    assert decoder.push(np.zeros((3, 0), np.int64)).shape == (0,)
    assert state(decoder) == before


@pytest.mark.parametrize("call", ["push", "flush", "snapshot"])
def test_a_flushed_stream_refuses_everything(minute_codec: Codec, call: str) -> None:
    for opened, block in (("stream", PCM), ("decoder_stream", codes_for(minute_codec, 4))):
        stream = getattr(minute_codec, opened)()
        stream.push(block)
        stream.flush()
        with pytest.raises(StreamClosedError, match=rf"open a new one with codec\.{opened}\(\)"):
            stream.push(block) if call == "push" else getattr(stream, call)()
        assert stream.closed


def test_a_caller_may_reuse_its_buffer(minute_codec: Codec) -> None:
    stream, buffer, parts = minute_codec.stream(), np.zeros(13, np.float32), []
    for start in range(0, 390, 13):
        buffer[:] = PCM[start : start + 13]
        parts.append(stream.push(buffer))
        buffer[:] = np.nan
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), minute_codec.encode(PCM[:390]))


@given(data=st.data())
def test_int16_is_float32_divided_by_32768(causal: bool, data: st.DataObject) -> None:
    codec = codec_of(minute(causal=causal))
    values = data.draw(st.lists(st.integers(-32768, 32767), max_size=60))
    ints = np.array(values, np.int16)
    floats = (ints.astype(np.float64) / 32768).astype(np.float32)
    np.testing.assert_array_equal(codec.encode(ints), codec.encode(floats))
    mixed = codec.stream()
    parts = [
        mixed.push(ints[:20]),
        mixed.push(floats[20:40]),
        mixed.push(torch.from_numpy(ints[40:].copy())),
        mixed.flush(),
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codec.encode(floats))


def test_strided_read_only_and_torch_blocks_are_accepted(minute_codec: Codec) -> None:
    wanted = minute_codec.encode(PCM)
    spread = np.repeat(PCM, 2)[::2]
    frozen = PCM.copy()
    frozen.flags.writeable = False
    for block in (spread, frozen, torch.from_numpy(PCM.copy()), memoryview(PCM.copy())):
        np.testing.assert_array_equal(streamed_whole(minute_codec, block), wanted)


def streamed_whole(codec: Codec, block: Any) -> Any:
    stream = codec.stream()
    return np.concatenate([stream.push(block), stream.flush()], axis=1)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_fewer_quantizers_are_a_prefix(minute_codec: Codec, levels: int) -> None:
    every = minute_codec.encode(PCM)
    np.testing.assert_array_equal(minute_codec.encode(PCM, n_quantizers=levels), every[:levels])
    stream = minute_codec.stream(n_quantizers=levels)
    assert stream.n_quantizers == levels
    np.testing.assert_array_equal(streamed(stream, PCM, [50, 1, 200]), every[:levels])


@pytest.mark.parametrize("levels", [0, -1, 4, 1.0, True, "2"])
def test_quantizers_out_of_range_are_refused(minute_codec: Codec, levels: Any) -> None:
    for door in (
        lambda: minute_codec.stream(n_quantizers=levels),
        lambda: minute_codec.encode(PCM, n_quantizers=levels),
    ):
        with pytest.raises(InputError, match=r"n_quantizers is .*wanted a whole number from 1 to 3"):
            door()


@pytest.mark.parametrize("tail", ["reflect", "", None, 1])
def test_unknown_tails_are_refused(minute_codec: Codec, tail: Any) -> None:
    with pytest.raises(InputError, match=r"tail is .*'pad'"):
        minute_codec.stream(tail=tail)


# ---------------------------------------------------------------------------------------------- two at once, errors
# inside


class BlockingEngine:
    """An engine whose steps wait at a barrier, twice: the test sees a step begun and lets it end."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.barrier = inner, threading.Barrier(2, timeout=PATIENCE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_step(self, *args: Any) -> Any:
        self.barrier.wait()
        self.barrier.wait()
        return self.inner.encode_step(*args)

    def decode_step(self, *args: Any) -> Any:
        self.barrier.wait()
        self.barrier.wait()
        return self.inner.decode_step(*args)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_two_calls_at_once_are_an_error_and_harm_nothing(minute_codec: Codec, direction: str) -> None:
    engine = BlockingEngine(minute_codec.engine)
    stream: Any
    if direction == "encode":
        stream, block = EncoderStream(engine, minute_codec.codec_hash), PCM[:100]
        wanted = minute_codec.stream().push(block)
    else:
        stream, block = DecoderStream(engine, minute_codec.codec_hash), codes_for(minute_codec, 12)
        wanted = minute_codec.decoder_stream().push(block)
    came: list[Any] = []
    worker = threading.Thread(target=lambda: came.append(stream.push(block)))
    worker.start()
    engine.barrier.wait()  # the step has begun
    for call in (lambda: stream.push(block), stream.flush, stream.snapshot):
        with pytest.raises(StreamBusyError, match="one after the other"):
            call()
    engine.barrier.wait()
    worker.join(60)
    assert not worker.is_alive()
    np.testing.assert_array_equal(came[0], wanted)
    assert not stream.closed
    assert stream.snapshot().clock == 12


class Failing:
    """An engine whose n-th step from now raises, once."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.countdown = inner, -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode_step(self, *args: Any) -> Any:
        self.countdown -= 1
        if self.countdown == 0:
            raise MemoryError("no room for this step")
        return self.inner.encode_step(*args)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_engine_error_loses_no_codes(minute_codec: Codec, step: int) -> None:
    """The samples are kept and the finished steps' codes too: the next push continues from there."""
    engine = Failing(minute_codec.engine)
    stream = EncoderStream(engine, minute_codec.codec_hash)
    rest = 5 * engine.row_hops // 2 * minute_codec.hop_length  # three steps
    pcm = np.resize(PCM, 50 + rest)
    parts = [stream.push(pcm[:50])]
    engine.countdown = step
    with pytest.raises(MemoryError):
        stream.push(pcm[50:])
    assert stream.frames_given == parts[0].shape[1]
    assert stream.samples_received == len(pcm)
    with pytest.raises(SnapshotError, match="push again"):
        stream.snapshot()
    parts += [stream.push(pcm[:0]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), minute_codec.encode(pcm))


def test_an_engine_error_in_flush_may_be_tried_again_but_not_pushed_after(causal: bool) -> None:
    codec = codec_of(minute(causal=causal))
    engine = Failing(codec.engine)
    stream = EncoderStream(engine, codec.codec_hash)
    parts = [stream.push(PCM[:53])]
    engine.countdown = 1
    with pytest.raises(MemoryError):
        stream.flush()
    with pytest.raises(StreamClosedError):
        stream.push(PCM)
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codec.encode(PCM[:53]))


# ---------------------------------------------------------------------------------------------- long runs


@pytest.mark.parametrize("engine", BUILT)
@settings(max_examples=1)
@given(seed=st.integers(0, 9))
def test_a_long_run_keeps_exactness_and_the_size_of_its_state(engine: str, causal: bool, seed: int) -> None:
    """20 000 hops of the smallest codec, four a push; the last codes as exact as the first."""
    config = minute((2, 2), causal=causal, encoder_dim=1)
    codec = codec_of(config, EXACT[engine], engine)
    pcm = noise(4 * 20_000, seed=seed)
    stream, size, parts = codec.stream(), len(state(codec.stream())), []
    for start in range(0, len(pcm), 16):
        parts.append(stream.push(pcm[start : start + 16]))
        if start % 16_000 == 0:
            snapshot = stream.snapshot()
            assert abs(len(snapshot.to_bytes()) - size) < 64
            assert snapshot.remainder.size == 0
    parts.append(stream.flush())
    codes = np.concatenate(parts, axis=1)
    assert codes.shape[1] == 20_000
    np.testing.assert_array_equal(codes, codec.encode(pcm))
