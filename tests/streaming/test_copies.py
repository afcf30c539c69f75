"""Copies and pickles of live streams and of pools: they go on from where the original stands, each by itself."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import EngineError, PoolError, SnapshotError, StreamClosedError
from streamrvq.streaming.decoder import DecoderStream
from streamrvq.streaming.encoder import EncoderStream
from streamrvq.streaming.hop_buffer import HopBuffer
from streamrvq.streaming.lockstep import Lockstep
from streamrvq.streaming.timeline import Timeline
from tests.support.contract import ENGINES, codec_of, minute, noise
from tests.support.copying.ways import WAYS, copies

Copied = Callable[[Any], Any]


def rest_of(stream: Any, data: Any) -> Any:
    return np.concatenate([stream.push(data), stream.flush()], axis=-1)


@given(
    st.sampled_from(sorted(WAYS)), st.sampled_from(ENGINES), st.booleans(), st.integers(0, 300), st.integers(1, 3),
    st.sampled_from(["pad", "valid"]),
)  # fmt: skip
def test_a_copied_encoder_goes_on(way: str, engine: str, causal: bool, at: int, levels: int, tail: str) -> None:
    codec, pcm = codec_of(minute(causal=causal), "float32", engine), noise(300)
    stream = codec.stream(n_quantizers=levels, tail=tail)
    first = stream.push(pcm[:at])
    other = WAYS[way](stream)
    assert (other.frames_given, other.samples_received) == (stream.frames_given, at)
    came, wanted = rest_of(other, pcm[at:]), rest_of(stream, pcm[at:])  # the copy first: it changes nothing
    np.testing.assert_array_equal(came, wanted)
    whole = np.concatenate([first, wanted], axis=1)
    np.testing.assert_array_equal(whole, codec.encode(pcm, n_quantizers=levels, tail=tail))


@given(st.sampled_from(sorted(WAYS)), st.sampled_from(ENGINES), st.booleans(), st.integers(0, 30))
def test_a_copied_decoder_goes_on(way: str, engine: str, causal: bool, at: int) -> None:
    codec = codec_of(minute(causal=causal), "float32", engine)
    codes = codec.encode(noise(240))
    stream = codec.decoder_stream()
    stream.push(codes[:, :at])
    other = WAYS[way](stream)
    assert other.samples_given == stream.samples_given
    np.testing.assert_array_equal(rest_of(other, codes[:, at:]), rest_of(stream, codes[:, at:]))


def test_a_copy_of_a_copy_can_be_pickled() -> None:
    stream = codec_of(minute()).stream()
    stream.push(noise(100))
    again = pickle.loads(pickle.dumps(copy.copy(pickle.loads(pickle.dumps(stream)))))
    np.testing.assert_array_equal(rest_of(again, noise(9)), rest_of(stream, noise(9)))


@copies
def test_a_resampling_stream_is_copied_with_its_resampler(copied: Copied) -> None:
    codec = codec_of(minute())
    stream = codec.stream(sample_rate=8000)
    stream.push(noise(777))
    other = copied(stream)
    assert (other.sample_rate, other.samples_received) == (8000, 777)
    np.testing.assert_array_equal(rest_of(other, noise(99, seed=2)), rest_of(stream, noise(99, seed=2)))


@copies
def test_a_closed_stream_says_that_it_is(copied: Copied) -> None:
    stream = codec_of(minute()).decoder_stream()
    stream.flush()
    with pytest.raises(StreamClosedError, match="snapshot on a stream that was flushed"):
        copied(stream)


@pytest.mark.parametrize("kind", [EncoderStream, DecoderStream])
def test_a_stream_without_a_codec_copies_but_has_no_pickle(kind: type[Any]) -> None:
    codec = codec_of(minute())
    stream = kind(codec.engine, codec.codec_hash)
    assert copy.copy(stream).flush().size == 0
    with pytest.raises(SnapshotError, match="was made without a codec, and a pickle needs one to go on with; open"):
        pickle.dumps(stream)


@copies
def test_an_empty_pool(copied: Copied) -> None:
    """Its copy takes streams of its own, and ids of ended streams stay ended."""
    codec = codec_of(minute())
    pool = codec.pool(2, "encode", max_hops=3)
    ended = pool.open()
    pool.drop(ended)
    other = copied(pool)
    assert (other.slots, other._plan.direction, other.open_streams) == (2, "encode", 0)
    other.feed(other.open(), noise(80))
    batch = other.next_batch()
    assert batch.hops == 3
    with pytest.raises(PoolError, match="has ended"):
        other.feed(ended, noise(80))
    assert pool.open_streams == 0


@copies
def test_a_pool_with_streams_says_what_to_do(copied: Copied) -> None:
    pool = codec_of(minute()).pool(2)
    stream = pool.open()
    pool.feed(stream, noise(80))
    batch = pool.next_batch()
    with pytest.raises(PoolError, match="a pool with 1 open streams can be neither copied nor pickled; end them first"):
        copied(pool)
    with pytest.raises(PoolError, match="Batch holds a step of its pool and can be neither copied nor pickled; run"):
        copied(batch)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("engine", ENGINES)
def test_lockstep(copied: Copied, engine: str) -> None:
    codec, pcm = codec_of(minute(), "float32", engine), noise(200)[None]
    run = Lockstep(codec.engine, "encode", 1, 3)
    run.push(pcm[:, :77])
    other = copied(run)
    for mine, theirs in ((other.push(pcm[:, 77:]), run.push(pcm[:, 77:])), (other.finish(), run.finish())):
        np.testing.assert_array_equal(mine[0], theirs[0])


def test_lockstep_is_of_its_process() -> None:
    with pytest.raises(EngineError, match="cannot be pickled; pickle its codec"):
        pickle.dumps(Lockstep(codec_of(minute()).engine, "encode", 1, 3))


@copies
def test_buffers_and_clocks(copied: Copied) -> None:
    plan = codec_of(minute()).pool(1)._plan
    buffer = HopBuffer(Timeline(plan), np.zeros(0, np.float32))
    buffer.append(np.arange(plan.unit_in + 3))
    other = copied(buffer)
    other._timeline.clock += 1
    assert other.remainder().tolist() == list(range(plan.unit_in, plan.unit_in + 3))
    assert buffer.remainder().tolist() == list(range(plan.unit_in + 3))
    timeline = Timeline(plan, clock=3, given=30)
    again = copied(timeline)
    again.clock += 2
    assert (again.clock, again.given, again.tail, timeline.clock) == (5, 30, "pad", 3)


@copies
def test_snapshots(copied: Copied) -> None:
    codec = codec_of(minute())
    stream = codec.stream()
    stream.push(noise(77))
    again = codec.stream(snapshot=copied(stream.snapshot()))
    np.testing.assert_array_equal(rest_of(again, noise(9)), rest_of(stream, noise(9)))
