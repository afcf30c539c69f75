"""Streams of EnCodec and Mimi: any partition, pools of any age, snapshots at every moment, first steps, ends.

Knows: float64 on the torch engine, where nothing may show in the codes, and the native and the cuda engine, where no
bit may. Does not know: the originals (test_official_codes.py).
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamrvq.codec import Codec, load
from streamrvq.errors import InputError, SnapshotError
from streamrvq.families import decoder_plan, encoder_plan
from streamrvq.streaming.snapshot import Snapshot
from tests.families.pairs import FAMILIES, pair
from tests.reference.spread import music
from tests.support.contract import ENGINES, needs_native, streamed
from tests.support.native import ISAS

#: The families on the engines that have them.
CASES = [(name, engine) for engine in ENGINES for name in FAMILIES]


@lru_cache(maxsize=8)
def minute(name: str, engine: str = "torch") -> Codec:
    return load(pair(name, "minute").folder, engine=engine, dtype="float64" if engine == "torch" else "float32")


def same(came: Any, wanted: Any) -> None:
    """Codes are equal, and float32 samples too; float64 ones of other orders of the same sums almost."""
    atol = 1e-12 if wanted.dtype == np.float64 else 0.0
    np.testing.assert_allclose(came, wanted, rtol=0, atol=atol)


def random_codes(codec: Codec, frames: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, codec.config.codebook_size, (codec.n_codebooks, frames))


@pytest.mark.parametrize(("name", "engine"), CASES)
@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 90), max_size=12), length=st.integers(1, 400), tail=st.sampled_from(["pad", "valid"])
)
@example(sizes=[1] * 60, length=60, tail="valid")
@example(sizes=[8] * 6, length=55, tail="valid")
@example(sizes=[55], length=56, tail="valid")
def test_any_partition_encodes_alike(name: str, engine: str, sizes: list[int], length: int, tail: str) -> None:
    codec, pcm = minute(name, engine), music(length, seed=length)
    codes = codec.encode(pcm, tail=tail)
    assert codes.shape == (codec.n_codebooks, -(-length // codec.hop_length))
    np.testing.assert_array_equal(streamed(codec.stream(tail=tail), pcm, sizes), codes)


@pytest.mark.parametrize(("name", "engine"), CASES)
@settings(max_examples=25)
@given(sizes=st.lists(st.integers(0, 9), max_size=12), frames=st.integers(1, 60))
def test_any_partition_decodes_alike(name: str, engine: str, sizes: list[int], frames: int) -> None:
    codec = minute(name, engine)
    codes = random_codes(codec, frames, frames)
    pcm = codec.decode(codes)
    assert pcm.shape == (frames * codec.hop_length,)
    same(streamed(codec.decoder_stream(), codes, sizes), pcm)


def test_when_encodecs_frames_leave() -> None:
    """Frame 0 waits for sample 2239, and from then on nothing is late. The decoder likewise waits for frame 6."""
    codec = pair("encodec").double
    encoder, decoder = encoder_plan(codec.config), decoder_plan(codec.config)
    assert (encoder.first, encoder.delay, decoder.first, decoder.delay) == (7, 0, 7, 0)
    stream = codec.stream()
    assert stream.push(music(2239)).shape == (8, 0)
    assert stream.push(music(1)).shape == (8, 7)
    assert [stream.push(music(320)).shape[1] for _ in range(5)] == [1] * 5
    back = codec.decoder_stream()
    given = [len(back.push(random_codes(codec, 1))) for _ in range(10)]
    assert given == [0] * 6 + [7 * 320] + [320] * 3


def test_when_mimis_frames_leave() -> None:
    codec = pair("mimi").double
    encoder, decoder = encoder_plan(codec.config), decoder_plan(codec.config)
    assert (encoder.first, encoder.delay, encoder.lookahead, decoder.first, decoder.delay) == (1, 0, 0, 1, 0)
    stream = codec.stream()
    assert stream.push(music(1919)).shape == (8, 0)
    assert stream.push(music(1)).shape == (8, 1)
    assert codec.decoder_stream().push(random_codes(codec, 1)).shape == (1920,)


def test_the_first_frame_depends_on_all_that_it_waits_for() -> None:
    both = pair("encodec")
    pcm = music(320 * 12)
    z = both.latents(pcm)
    for sample, moved in ((2239, True), (2240, False)):
        other = pcm.copy()
        other[sample] += 0.5
        assert bool((both.latents(other)[..., 0] != z[..., 0]).any()) == moved


@pytest.mark.parametrize(("name", "engine"), CASES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_pool_of_any_ages_encodes_alike(name: str, engine: str, data: st.DataObject) -> None:
    codec, hop = minute(name, engine), minute(name, engine).hop_length
    pool = codec.pool(3, max_hops=data.draw(st.integers(1, 9), "max_hops"))
    signals, sent, given, closed = {}, {}, {}, set()
    for turn in range(data.draw(st.integers(5, 25), "turns")):
        live = [stream for stream in signals if stream not in closed]
        if pool.open_streams < 3 and data.draw(st.booleans(), "open"):
            stream = pool.open(tail="valid")
            signals[stream], sent[stream], given[stream] = music(40 * hop, seed=turn), 0, []
        elif live:
            stream = data.draw(st.sampled_from(live), "stream")
            size = data.draw(st.integers(0, 12 * hop), "size")
            pool.feed(stream, signals[stream][sent[stream] : sent[stream] + size])
            sent[stream] = min(sent[stream] + size, 40 * hop)
            if data.draw(st.integers(0, 4), "close") == 0:
                pool.close(stream)
                closed.add(stream)
        if data.draw(st.booleans(), "step"):
            step(pool, given, data.draw(st.sampled_from([None, 1, 4, 64]), "row_hops"))
    for stream in signals.keys() - closed:
        pool.close(stream)
    while step(pool, given, None):
        pass
    assert pool.open_streams == 0
    for stream, parts in given.items():
        wanted = codec.encode(signals[stream][: sent[stream]], tail="valid")
        np.testing.assert_array_equal(np.concatenate([wanted[:, :0], *parts], axis=1), wanted)


def step(pool: Any, given: dict[Any, list[Any]], row_hops: int | None) -> bool:
    """One batch of a pool, if there is one."""
    batch = pool.next_batch(max_row_hops=row_hops)
    if batch is None:
        return False
    batch.run()
    for output in pool.complete(batch):
        given[output.stream].append(output.data)
    return True


def test_a_first_step_that_waits_is_not_passed_over() -> None:
    """Two streams have a hop at each call; the third needs seven, and comes next although they go on."""
    codec, hop = minute("encodec"), 8
    pool = codec.pool(3)
    streams = [pool.open() for _ in range(3)]
    for stream in (streams[0], streams[2]):
        pool.feed(stream, music(7 * hop))
    while (batch := pool.next_batch()) is not None:
        batch.run()
        pool.complete(batch)
    pool.feed(streams[1], music(7 * hop))
    for _ in range(2):
        for stream in (streams[0], streams[2]):
            pool.feed(stream, music(hop))
        batch = pool.next_batch()
        assert batch is not None
        batch.run()
        served = {output.stream for output in pool.complete(batch)}
        if streams[1] in served:
            return
    pytest.fail("the first step was never made")


@pytest.mark.parametrize(("name", "engine"), CASES)
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_stream_parked_at_every_moment_goes_on_alike(name: str, engine: str, direction: str) -> None:
    codec, encode = minute(name, engine), direction == "encode"
    signal = music(150) if encode else random_codes(codec, 20)
    each = 5 if encode else 1

    def opened(snapshot: Snapshot | None = None) -> Any:
        return codec.stream(snapshot=snapshot) if encode else codec.decoder_stream(snapshot=snapshot)

    stream, wanted = opened(), opened()
    for start in range(0, signal.shape[-1], each):
        stream = opened(Snapshot.from_bytes(stream.snapshot().to_bytes()))
        block = signal[..., start : start + each]
        same(stream.push(block), wanted.push(block))
    same(stream.flush(), wanted.flush())


def test_a_remainder_that_no_stream_has_is_refused() -> None:
    codec = minute("encodec")
    stream, back = codec.stream(), codec.decoder_stream()
    stream.push(music(55))
    back.push(random_codes(codec, 6))
    for snapshot, resume in ((stream.snapshot(), codec.stream), (back.snapshot(), codec.decoder_stream)):
        resume(snapshot=snapshot)  # seven hops less one input
        twice = np.concatenate([snapshot.remainder, snapshot.remainder], axis=-1)
        later = dataclasses.replace(snapshot, clock=7)
        high = dataclasses.replace(snapshot, remainder=snapshot.remainder + 1000)
        for bad in (dataclasses.replace(snapshot, remainder=twice), later, high):
            with pytest.raises(SnapshotError, match="remainder"):
                resume(snapshot=bad)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_first_step_that_is_too_short_is_refused(direction: Any) -> None:
    codec = minute("encodec")
    engine, row = codec.engine, np.zeros(1, np.int64)
    states = engine.new_states(1, direction)
    call: Any = engine.encode_step if direction == "encode" else engine.decode_step
    levels = (1,) if direction == "encode" else ()
    for hops, length in ((6, -1), (6, 7), (1, 7)):
        inputs = music(8 * hops)[None] if direction == "encode" else random_codes(codec, hops)[None]
        with pytest.raises(InputError, match=f"a first step has {hops} hops; .* wants 7, or the whole signal"):
            call(inputs, states, row, row, row + (length * states.plan.unit_in if length > 0 else -1), *levels)
    assert engine.hop_counts(states, row) == 0
    inputs = music(48)[None] if direction == "encode" else random_codes(codec, 6)[None]
    call(inputs, states, row, row, row + 6 * states.plan.unit_in, *levels)


@pytest.mark.parametrize(("name", "engine"), CASES)
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_what_lies_past_the_end_does_not_matter(name: str, engine: str, direction: Any) -> None:
    codec, row = minute(name, engine), np.zeros(1, np.int64)
    engine, results = codec.engine, []
    for filling in (0, 5):
        states = engine.new_states(1, direction)
        if direction == "encode":
            pcm = np.full((1, 64), filling, np.float32)
            pcm[0, :29] = music(29)
            out: Any = engine.encode_step(pcm, states, row, row, row + 29, codec.n_codebooks, True)[1]
            results.append(out[..., :4])
        else:
            codes = np.full((1, codec.n_codebooks, 8), filling)
            codes[..., :4] = random_codes(codec, 4)
            results.append(engine.decode_step(codes, states, row, row, row + 4)[:, :32])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_a_batch_is_its_rows(name: str, engine: str) -> None:
    """Nine rows and seven hops are more than the native engine takes at once: no part may be a shorter first step."""
    codec = minute(name, engine)
    pcm = np.stack([music(101, seed) for seed in range(9)])
    codes = codec.encode(pcm, tail="valid")
    for row, signal in zip(codes, pcm, strict=True):
        np.testing.assert_array_equal(row, codec.encode(signal, tail="valid"))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_snapshot_goes_from_engine_to_engine(name: str) -> None:
    """In float32. So the next codes may differ by near-ties, which there are none of here."""
    names = *ENGINES, *ENGINES[::-1]
    pcm, engines = music(420), [load(pair(name, "minute").folder, engine=engine) for engine in names]
    wanted, stream, given, each = minute(name).encode(pcm), engines[0].stream(), [], 420 // len(engines)
    for number, engine in enumerate(engines):
        stream = engine.stream(snapshot=Snapshot.from_bytes(stream.snapshot().to_bytes()))
        given.append(stream.push(pcm[number * each : (number + 1) * each]))
    np.testing.assert_array_equal(np.concatenate([*given, stream.flush()], axis=1), wanted)


@needs_native
@pytest.mark.parametrize("name", FAMILIES)
def test_no_bit_depends_on_threads_or_instruction_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm, folder, results = music(300), pair(name, "minute").folder, []
    for isa in ISAS:
        for threads in (1, 2):
            monkeypatch.setenv("STREAMRVQ_ISA", isa)
            codec = load(folder, engine="native", threads=threads)
            codes, latents = codec.encode(pcm, return_latents=True)
            results.append(codes.tobytes() + latents.tobytes() + codec.decode(codes).tobytes())
    assert len(set(results)) == 1
