"""Streams and pools with a resampler: the codes and samples of the whole signal, however it was cut, copied or parked.

Knows: both directions. Does not know: how samples are resampled (tests/resampling).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio.rates import output_length, ratio
from streamrvq.codec import Codec
from streamrvq.errors import InputError, SnapshotError, StreamClosedError
from streamrvq.resampling import ResamplerState, resample_rows
from streamrvq.streaming.pool import StreamPool
from streamrvq.streaming.snapshot import Snapshot
from tests.support.contract import ENGINE_DTYPES, codec_of, minute, noise

RATES = st.sampled_from([8000, 16_000, 22_050, 32_000, 44_101, 48_000, 96_000])
SIZES = st.lists(st.integers(0, 90), max_size=8)


#: Not on an emulated GPU: rates are converted before and after an engine, and these tests make very many steps.
EXACT = [pair for pair in ENGINE_DTYPES if pair not in (("torch", "float32"), ("cuda", "float32"))]
engines = pytest.mark.parametrize("engine", EXACT, ids=lambda pair: "-".join(pair))


def codec_for(engine: tuple[str, str], causal: bool) -> Codec:
    return codec_of(minute((7,), causal=causal), engine[1], engine[0])


def same_samples(engine: tuple[str, str], came: np.ndarray, wanted: np.ndarray) -> None:
    """To the bit on the native engine; torch's sums depend on the shape of a step."""
    if engine[0] == "native":
        np.testing.assert_array_equal(came, wanted)
    else:
        np.testing.assert_allclose(came, wanted, rtol=0, atol=1e-7)


def through_bytes(snapshot: Snapshot) -> Snapshot:
    return Snapshot.from_bytes(snapshot.to_bytes())


def codes_of(codec: Codec, frames: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 64, (codec.n_codebooks, frames))


@engines
@given(rate=RATES, sizes=SIZES, tail=st.sampled_from(["pad", "valid"]))
def test_an_encoder_gives_the_codes_of_the_whole(
    engine: tuple[str, str], causal: bool, rate: int, sizes: list[int], tail: str
) -> None:
    codec, pcm = codec_for(engine, causal), noise(700, seed=1)
    stream, parts, at = codec.stream(rate, tail=tail), [], 0
    for size in [*sizes, 700]:
        parts.append(stream.push(pcm[at : at + size]))
        at = min(700, at + size)
        assert stream.samples_received == at
    parts.append(stream.flush())
    whole = codec.encode(resample_rows(pcm[None], rate, codec.sample_rate)[0], tail=tail)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(codec.encode(pcm, rate, tail=tail), whole)


@engines
@given(rate=RATES, sizes=st.lists(st.integers(0, 30), max_size=8))
def test_a_decoder_gives_the_samples_of_the_whole(
    engine: tuple[str, str], causal: bool, rate: int, sizes: list[int]
) -> None:
    codec = codec_for(engine, causal)
    codes = codes_of(codec, 120)
    stream, parts, at = codec.decoder_stream(sample_rate=rate), [], 0
    for size in [*sizes, 120]:
        assert stream.samples_given == sum(map(len, parts))
        parts.append(stream.push(codes[:, at : at + size]))
        at += size
    parts.append(stream.flush())
    came, decoded = np.concatenate(parts), codec.decode(codes)
    assert stream.samples_given == len(came) == output_length(len(decoded), codec.sample_rate, rate)
    same_samples(engine, came, codec.decode(codes, rate))
    whole = resample_rows(decoded.astype(np.float32)[None], codec.sample_rate, rate)[0]
    same_samples(engine, came, whole)
    assert came.dtype == np.float32


@engines
@pytest.mark.parametrize("rate", [8000, 48_000, 96_000])
def test_an_encoder_parked_at_every_sample_around_a_hop_goes_on_exactly(
    engine: tuple[str, str], causal: bool, rate: int
) -> None:
    codec, pcm = codec_for(engine, causal), noise(500, seed=2)
    hop = -(-codec.hop_length * rate // codec.sample_rate)
    held = ratio(rate, codec.sample_rate).half
    whole = codec.encode(pcm, rate)
    for at in range(held, held + 2 * hop + 2):
        stream = codec.stream(rate)
        first = stream.push(pcm[:at])
        resumed = codec.stream(snapshot=through_bytes(stream.snapshot()))
        assert (resumed.sample_rate, resumed.samples_received, resumed.frames_given) == (rate, at, first.shape[1])
        rest = [resumed.push(pcm[at:]), resumed.flush()]
        np.testing.assert_array_equal(np.concatenate([first, *rest], axis=1), whole, err_msg=f"parked at {at}")


@engines
@given(rate=RATES, park=st.lists(st.integers(0, 120), max_size=4))
def test_a_decoder_parked_anywhere_goes_on_to_the_bit(
    engine: tuple[str, str], causal: bool, rate: int, park: list[int]
) -> None:
    codec = codec_for(engine, causal)
    codes, stream, parts = codes_of(codec, 120), None, []
    stream = codec.decoder_stream(sample_rate=rate)
    for begin, end in zip([0, *sorted(park)], [*sorted(park), 120], strict=True):
        parts.append(stream.push(codes[:, begin:end]))
        given_ = stream.samples_given
        stream = codec.decoder_stream(snapshot=through_bytes(stream.snapshot()))
        assert (stream.sample_rate, stream.samples_given) == (rate, given_)
    parts.append(stream.flush())
    same_samples(engine, np.concatenate(parts), codec.decode(codes, rate))


TURNS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200), st.booleans()), max_size=12)


@engines
@given(rates=st.lists(st.one_of(st.none(), RATES), min_size=3, max_size=3), turns=TURNS, max_hops=st.integers(1, 6))
def test_a_pool_takes_streams_of_every_rate(
    engine: tuple[str, str], causal: bool, rates: list[int | None], turns: list[tuple[int, int, bool]], max_hops: int
) -> None:
    codec = codec_for(engine, causal)
    # Low rates, which make many hops of a sample, need fewer samples.
    signals = [noise(min(400, max(120, 400 * (rate or 44_100) // 44_100)), seed=4) for rate in rates]
    pool = codec.pool(3, max_hops=max_hops)
    streams = [pool.open(sample_rate=rate) for rate in rates]
    came: dict[Any, list[Any]] = {stream: [] for stream in streams}
    fed = [0, 0, 0]
    for which, size, run in [*turns, (0, 400, False), (1, 400, True), (2, 400, False)]:
        pool.feed(streams[which], signals[which][fed[which] : fed[which] + size])
        fed[which] += size
        if run:
            drain(pool, came)
    for stream in streams:
        pool.close(stream)
    drain(pool, came)
    for stream, rate, pcm in zip(streams, rates, signals, strict=True):
        np.testing.assert_array_equal(np.concatenate(came[stream], axis=1), codec.encode(pcm, rate))


def drain(pool: StreamPool, came: dict[Any, list[Any]]) -> None:
    """Run all that can be run. Each output says where it belongs."""
    while (batch := pool.next_batch()) is not None:
        batch.run()
        for output in pool.complete(batch):
            assert output.index == sum(part.shape[-1] for part in came[output.stream])
            came[output.stream].append(output.data)


@engines
@given(rates=st.lists(st.one_of(st.none(), RATES), min_size=3, max_size=3), max_hops=st.integers(1, 6),
       sizes=st.lists(st.integers(1, 40), min_size=3, max_size=3))  # fmt: skip
def test_a_pool_gives_samples_at_every_rate(
    engine: tuple[str, str], causal: bool, rates: list[int | None], max_hops: int, sizes: list[int]
) -> None:
    codec = codec_for(engine, causal)
    pool, came = codec.pool(3, "decode", max_hops), dict[Any, list[Any]]()
    for rate, size in zip(rates, sizes, strict=True):
        stream = pool.open(sample_rate=rate)
        pool.feed(stream, codes_of(codec, size))
        pool.close(stream)
        came[stream] = []
    drain(pool, came)
    for stream, rate, size in zip(came, rates, sizes, strict=True):
        same_samples(engine, np.concatenate(came[stream]), codec.decode(codes_of(codec, size), rate))


def test_rows_and_codes_of_another_rate(minute_codec: Codec) -> None:
    rows = np.stack([noise(300, seed=row) for row in range(3)])
    codes = minute_codec.encode(rows, 48_000)
    assert codes.shape[0] == 3
    np.testing.assert_array_equal(codes[1], minute_codec.encode(rows[1], 48_000))
    same_samples(("torch", "float64"), minute_codec.decode(codes, 16_000)[2], minute_codec.decode(codes[2], 16_000))


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("rate", [0, 999, 44_100.5, "fast", 10**6])
def test_bad_rates_open_nothing(minute_codec: Codec, rate: Any) -> None:
    pool = minute_codec.pool(1)
    codes = np.zeros((1, 2), int)
    works: list[Any] = [
        minute_codec.stream,
        minute_codec.decoder_stream,
        pool.open,
        lambda sample_rate: minute_codec.decode(codes, sample_rate),
    ]
    for work in works:
        with pytest.raises(InputError, match="wanted a whole number of Hz"):
            work(sample_rate=rate)
    assert pool.open_streams == 0


def test_bad_samples_leave_a_resampling_stream_as_it_was(minute_codec: Codec) -> None:
    pcm, stream = noise(900), minute_codec.stream(48_000)
    first = stream.push(pcm[:500])
    bad = pcm[500:600].copy()
    bad[50] = np.nan
    with pytest.raises(InputError, match="550"):
        stream.push(bad)
    rest = [stream.push(pcm[500:]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate([first, *rest], axis=1), minute_codec.encode(pcm, 48_000))


def test_a_closed_stream_of_a_pool_takes_no_more(minute_codec: Codec) -> None:
    pool = minute_codec.pool(1)
    stream = pool.open(sample_rate=48_000)
    pool.feed(stream, noise(100))
    pool.close(stream)
    for call in (lambda: pool.feed(stream, noise(1)), lambda: pool.close(stream)):
        with pytest.raises(StreamClosedError):
            call()


def damaged(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Each with one thing wrong about its resampler."""
    state = snapshot.resampler
    assert state is not None
    history = state.history.copy()
    history[3] = np.nan
    new = dataclasses.replace
    return {
        "no resampler": new(snapshot, resampler=None, version=1),
        "no rate": new(snapshot, sample_rate=None),
        "the codec's rate": new(snapshot, sample_rate=44_100),
        "another rate": new(snapshot, sample_rate=32_000),
        "a bad rate": new(snapshot, sample_rate=10),
        "version": new(snapshot, version=1),
        "position": new(snapshot, resampler=ResamplerState(state.taken + 5, state.history)),
        "negative": new(snapshot, resampler=ResamplerState(-1, state.history)),
        "huge": new(snapshot, resampler=ResamplerState(1 << 70, state.history)),
        "nan": new(snapshot, resampler=ResamplerState(state.taken, history)),
        "short": new(snapshot, resampler=ResamplerState(state.taken, history[4:])),
        "doubles": new(snapshot, resampler=ResamplerState(state.taken, state.history.astype(np.float64))),
    }


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_damaged_snapshots_are_refused(minute_codec: Codec, direction: str) -> None:
    if direction == "encode":
        stream: Any = minute_codec.stream(48_000)
        stream.push(noise(300))
        make: Any = minute_codec.stream
    else:
        stream = minute_codec.decoder_stream(sample_rate=48_000)
        stream.push(codes_of(minute_codec, 40) % 64)
        make = minute_codec.decoder_stream
    snapshot = stream.snapshot()
    make(snapshot=snapshot)
    for name, bad in damaged(snapshot).items():
        with pytest.raises(SnapshotError):
            make(snapshot=bad)
            pytest.fail(f"{name} was taken")


def test_a_rate_beside_a_snapshot_must_be_its_own(minute_codec: Codec) -> None:
    stream = minute_codec.stream(48_000)
    stream.push(noise(300))
    assert minute_codec.stream(48_000, snapshot=stream.snapshot()).sample_rate == 48_000
    with pytest.raises(SnapshotError, match="came with a snapshot of a stream at 48000 Hz"):
        minute_codec.stream(44_100, snapshot=stream.snapshot())


def test_a_stream_of_another_resampler_is_refused(minute_codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    data = minute_codec.stream(48_000).snapshot().to_bytes()
    monkeypatch.setattr("streamrvq.streaming.snapshot.RESAMPLER", "fir48-2")
    with pytest.raises(SnapshotError, match="the snapshot's resampler is 'fir48-1'; this release has 'fir48-2'"):
        Snapshot.from_bytes(data)
