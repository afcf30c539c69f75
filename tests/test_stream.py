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
from streamrvq.stream import DecoderStream, EncoderStream
from tests.contract import codec_of, minute, noise, streamed

PCM = noise(400, seed=7)


def state(stream: Any) -> bytes:
    """Everything that a stream is."""
    return bytes(stream.snapshot().to_bytes())


def codes_for(codec: Codec, frames: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, codec.config.codebook_size, (codec.n_codebooks, frames))


# ---------------------------------------------------------------------------------------------- push and flush


def test_pushes_and_flush_are_encode(minute_codec: Codec) -> None:
    stream, delay = minute_codec.stream(), minute_codec.delay_frames
    first = stream.push(PCM[:100])
    assert first.dtype == np.int64 and first.shape == (3, max(0, 12 - delay))
    assert stream.frames_given == first.shape[1] and stream.samples_received == 100 and not stream.closed
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
    for stream, block in ((minute_codec.stream(), PCM), (minute_codec.decoder_stream(), codes_for(minute_codec, 4))):
        stream.push(block)
        stream.flush()
        with pytest.raises(StreamClosedError, match="open a new one"):
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


# ---------------------------------------------------------------------------------------------- bad input


class OnDevice:
    """Stands for a CUDA tensor."""

    device = torch.device("cuda", 0)


def with_sample(value: float, at: int = 5) -> Any:
    block = PCM[:20].copy()
    block[at] = value
    return block


BAD_SAMPLES = {
    "nan": (with_sample(np.nan), r"sample 82 is nan"),
    "inf": (with_sample(np.inf, 0), r"sample 77 is inf"),
    "-inf": (with_sample(-np.inf, 19), r"sample 96 is -inf"),
    "loud": (with_sample(128.001), r"sample 82 is 128.001"),
    "quiet floor": (with_sample(-32768.0), r"sample 82 is -32768"),
    "signalling nan": (np.array([0x7F800001], np.uint32).view(np.float32), r"sample 77 is nan"),
    "float64": (PCM[:20].astype(np.float64), "float64.*wanted float32"),
    "float16": (PCM[:20].astype(np.float16), "float16.*wanted float32"),
    "int32": (np.zeros(4, np.int32), "int32.*wanted float32"),
    "bool": (np.zeros(4, bool), "bool.*wanted float32"),
    "complex": (np.zeros(4, np.complex64), "complex64.*wanted float32"),
    "big endian": (np.zeros(4, ">i2"), "wanted float32"),
    "2-D": (np.zeros((20, 2), np.float32), r"shape \[20, 2\].*mix channels down"),
    "row": (np.zeros((1, 20), np.float32), r"shape \[1, 20\]"),
    "0-D": (np.float32(0.5), r"shape \[\]"),
    "none": (None, "samples"),
    "text": ("audio", "samples"),
    "ragged": ([[0.0], [0.0, 1.0]], "no array"),
    "device": (OnDevice(), r"cuda:0.*\.cpu\(\)"),
    "grad": (torch.zeros(4, requires_grad=True), r"\.detach\(\)"),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_bad_samples_are_named_and_leave_the_stream_as_it_was(minute_codec: Codec, kind: str) -> None:
    block, message = BAD_SAMPLES[kind]
    stream = minute_codec.stream()
    head = stream.push(PCM[:77])
    before = state(stream)
    with pytest.raises(InputError, match=message):
        stream.push(block)
    assert state(stream) == before and stream.samples_received == 77
    codes = np.concatenate([head, stream.push(PCM[77:]), stream.flush()], axis=1)
    np.testing.assert_array_equal(codes, minute_codec.encode(PCM))


def test_the_bound_itself_is_accepted(minute_codec: Codec) -> None:
    loud = PCM.copy()
    loud[3], loud[4] = 128, -128
    np.testing.assert_array_equal(streamed(minute_codec.stream(), loud, [5, 9]), minute_codec.encode(loud))


def test_encode_names_the_row_of_a_bad_sample(minute_codec: Codec) -> None:
    rows = np.stack([PCM, PCM])
    rows[1, 300] = np.nan
    with pytest.raises(InputError, match="sample 300 of row 1 is nan"):
        minute_codec.encode(rows)


BAD_CODES = {
    "negative": (np.array([[0], [-1], [0]]), "code -1 at codebook 1, frame 0"),
    "large": (np.array([[0, 0], [0, 0], [0, 64]]), "code 64 at codebook 2, frame 1"),
    "uint64": (np.full((3, 1), 2**64 - 1, np.uint64), "code 18446744073709551615 at codebook 0"),
    "float": (np.zeros((3, 2), np.float32), "float32.*wanted integers"),
    "bool": (np.zeros((3, 2), bool), "bool.*wanted integers"),
    "1-D": (np.zeros(3, np.int64), r"shape \[3\]"),
    "3-D": (np.zeros((1, 3, 2), np.int64), r"shape \[1, 3, 2\]"),
    "no levels": (np.zeros((0, 2), np.int64), r"shape \[0, 2\]"),
    "many levels": (np.zeros((4, 2), np.int64), r"shape \[4, 2\]"),
    "device": (OnDevice(), r"\.cpu\(\)"),
}


@pytest.mark.parametrize("kind", BAD_CODES)
def test_bad_codes_are_named_and_leave_the_stream_as_it_was(minute_codec: Codec, kind: str) -> None:
    block, message = BAD_CODES[kind]
    codes, stream = codes_for(minute_codec, 30), minute_codec.decoder_stream()
    head = stream.push(codes[:, :11])
    before = state(stream)
    with pytest.raises(InputError, match=message):
        stream.push(block)
    assert state(stream) == before
    pcm = np.concatenate([head, stream.push(codes[:, 11:]), stream.flush()])
    np.testing.assert_allclose(pcm, minute_codec.decode(codes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [np.uint16, np.int8, np.int32, np.uint64])
def test_codes_of_any_integer_type_decode_the_same(minute_codec: Codec, kind: Any) -> None:
    codes = codes_for(minute_codec, 10)
    np.testing.assert_array_equal(minute_codec.decode(codes.astype(kind)), minute_codec.decode(codes))


# ---------------------------------------------------------------------------------------------- two at once, errors
# inside


class Gate:
    """An engine whose steps wait at a barrier, twice: the test sees a step begun and lets it end."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.barrier = inner, threading.Barrier(2, timeout=60)

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
    gate = Gate(minute_codec._engine)
    stream: Any
    if direction == "encode":
        stream, block = EncoderStream(gate, minute_codec.codec_hash), PCM[:100]
        wanted = minute_codec.stream().push(block)
    else:
        stream, block = DecoderStream(gate, minute_codec.codec_hash), codes_for(minute_codec, 12)
        wanted = minute_codec.decoder_stream().push(block)
    came: list[Any] = []
    worker = threading.Thread(target=lambda: came.append(stream.push(block)))
    worker.start()
    gate.barrier.wait()  # the step has begun
    for call in (lambda: stream.push(block), stream.flush, stream.snapshot):
        with pytest.raises(StreamBusyError, match="one after the other"):
            call()
    gate.barrier.wait()
    worker.join(60)
    assert not worker.is_alive()
    np.testing.assert_array_equal(came[0], wanted)
    assert not stream.closed and stream.snapshot().clock == 12


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
    """The samples are kept and the finished steps' codes too: the next push goes on from there."""
    engine = Failing(minute_codec._engine)
    stream = EncoderStream(engine, minute_codec.codec_hash)
    parts = [stream.push(PCM[:50])]
    engine.countdown = step
    with pytest.raises(MemoryError):
        stream.push(PCM[50:])  # three steps of at most 16 hops
    assert stream.frames_given == parts[0].shape[1] and stream.samples_received == len(PCM)
    with pytest.raises(SnapshotError, match="push again"):
        stream.snapshot()
    parts += [stream.push(PCM[:0]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), minute_codec.encode(PCM))


def test_an_engine_error_in_flush_may_be_tried_again_but_not_pushed_after(causal: bool) -> None:
    codec = codec_of(minute(causal=causal))
    engine = Failing(codec._engine)
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


@settings(max_examples=1)
@given(seed=st.integers(0, 9))
def test_a_long_run_keeps_exactness_and_the_size_of_its_state(causal: bool, seed: int) -> None:
    """20 000 hops of the smallest codec, pushed hop by hop and in odd pieces; the last codes as exact as the first."""
    config = minute((2, 2), causal=causal, encoder_dim=1)
    codec = codec_of(config)
    pcm = noise(4 * 20_000, seed=seed)
    stream, size, parts = codec.stream(), len(state(codec.stream())), []
    for start in range(0, len(pcm), 16):
        parts.append(stream.push(pcm[start : start + 16]))
        if start % 16_000 == 0:
            snapshot = stream.snapshot()
            assert abs(len(snapshot.to_bytes()) - size) < 64 and snapshot.remainder.size == 0
    parts.append(stream.flush())
    codes = np.concatenate(parts, axis=1)
    assert codes.shape[1] == 20_000
    np.testing.assert_array_equal(codes, codec.encode(pcm))
