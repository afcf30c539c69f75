"""Single situations of a pool that test_pool.py does not name: float32 rows, a poisoned decoder, mixed levels.

Knows: the engine's rows and the pool's calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.errors import InputError, PoolError
from streamrvq.streaming.pool import StreamId, StreamPool
from tests.support.contract import codec_of, minute, noise


def drive(pool: StreamPool, came: dict[StreamId, list[Any]]) -> int:
    """Steps until nothing is left to do; outputs go to their streams. Gives the number of steps."""
    steps = 0
    while batch := pool.next_batch():
        batch.run()
        steps += 1
        for item in pool.complete(batch):
            came.setdefault(item.stream, []).append(item.data)
    return steps


def test_a_float32_batch_gives_each_row_its_own_latents(causal: bool) -> None:
    """Neighbours of other ages do not move a row by more than rounding."""
    codec = codec_of(minute(causal=causal), "float32")
    engine, rows, hop = codec.engine, 6, codec.hop_length
    pcm = np.stack([noise(hop * 40, seed=row) for row in range(rows)])
    together = engine.new_states(rows, "encode")
    for row in range(rows):  # the rows differ in age by 3 hops each
        if row:
            engine.encode_step(
                pcm[row : row + 1, : row * 3 * hop], together, np.array([row]), np.zeros(1, int), np.array([-1]), 3
            )
    slots = np.arange(rows)[::-1].copy()
    block = np.stack([pcm[row, row * 3 * hop : (row * 3 + 5) * hop] for row in slots])
    _, latents = engine.encode_step(block, together, slots, slots * 3, np.full(rows, -1), 3, True)
    for place, row in enumerate(slots):
        alone = engine.new_states(1, "encode")
        end = (row * 3 + 5) * hop
        _, wanted = engine.encode_step(
            pcm[row : row + 1, :end], alone, np.zeros(1, int), np.zeros(1, int), np.array([-1]), 3, True
        )
        np.testing.assert_allclose(latents[place, :3], wanted[0, :3, -5:], rtol=0, atol=1e-4)


def test_nan_in_one_rows_decoder_state_stays_there(causal: bool) -> None:
    codec = codec_of(minute(causal=causal))
    pool, streams = codec.pool(4, "decode"), []
    codes = [np.random.default_rng(i).integers(0, 64, (3, 30)) for i in range(4)]
    came: dict[StreamId, list[Any]] = {}
    for given in codes:
        streams.append(pool.open())
        pool.feed(streams[-1], given[:, :12])
    drive(pool, came)
    for history in pool._states.histories:
        history[2] = np.nan
    for stream, given in zip(streams, codes, strict=True):
        pool.feed(stream, given[:, 12:])
        pool.close(stream)
    drive(pool, came)
    for stream, given in zip(streams, codes, strict=True):
        pcm = np.concatenate(came[stream])
        assert np.isnan(pcm).any() == (stream.slot == 2)
        if stream.slot != 2:
            np.testing.assert_allclose(pcm, codec.decode(given), rtol=0, atol=1e-12)


def test_feeding_and_closing_while_a_step_is_under_way(minute_codec: Codec) -> None:
    pool, pcm = minute_codec.pool(2), noise(333, seed=6)
    stream = pool.open(tail="valid")
    pool.feed(stream, pcm[:100])
    batch = pool.next_batch()
    assert batch is not None
    pool.feed(stream, pcm[100:])
    pool.close(stream)
    batch.run()
    came = {stream: [item.data for item in pool.complete(batch)]}
    drive(pool, came)
    np.testing.assert_array_equal(np.concatenate(came[stream], axis=1), minute_codec.encode(pcm, tail="valid"))


def test_decoding_streams_of_mixed_ages_and_levels(causal: bool) -> None:
    codec, rng = codec_of(minute((2, 3), causal=causal)), np.random.default_rng(8)
    pool = codec.pool(4, "decode")
    came: dict[StreamId, list[Any]] = {}
    codes: dict[StreamId, Any] = {}
    for i in range(9):
        if pool.open_streams == 4:  # the oldest makes room
            pool.close(list(codes)[i - 4])
            drive(pool, came)
        stream = pool.open()
        codes[stream] = rng.integers(0, 64, (1 + i % 3, 5 + 7 * i))
        pool.feed(stream, codes[stream])
        drive(pool, came)
    for stream in list(codes)[-4:]:
        pool.close(stream)
    drive(pool, came)
    assert pool.open_streams == 0
    for stream, given in codes.items():
        np.testing.assert_allclose(np.concatenate(came[stream]), codec.decode(given), rtol=0, atol=1e-12)


def test_a_closed_stream_that_is_owed_nothing_ends_without_a_step(minute_codec: Codec) -> None:
    pool = minute_codec.pool(2)
    stream = pool.open(n_quantizers=2)
    assert pool.next_batch() is None
    pool.close(stream)
    batch = pool.next_batch()
    assert batch is not None
    assert batch.hops == 0
    assert batch.streams == (stream,)
    batch.run()
    [item] = pool.complete(batch)
    assert item.final
    assert item.data.shape == (2, 0)
    assert item.stream == stream
    assert pool.open_streams == 0


def test_a_batch_runs_once_and_is_ended_once(minute_codec: Codec) -> None:
    """A batch run twice would advance its streams twice; aborted after a run, they would lag behind their state."""
    pool, pcm = minute_codec.pool(1), noise(64)
    stream = pool.open()
    pool.feed(stream, pcm)
    pool.close(stream)
    batch = pool.next_batch()
    assert batch is not None
    with pytest.raises(PoolError, match="has not run"):
        pool.complete(batch)
    batch.run()
    with pytest.raises(PoolError, match="runs once"):
        batch.run()
    with pytest.raises(PoolError, match="complete that one"):
        pool.abort(batch)
    came = {stream: [item.data for item in pool.complete(batch)]}
    for end in (pool.complete, pool.abort):
        with pytest.raises(PoolError):
            end(batch)
    drive(pool, came)
    np.testing.assert_array_equal(np.concatenate(came[stream], axis=1), minute_codec.encode(pcm))


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"direction": "both"}, "direction is 'both'; wanted 'encode' or 'decode'"),
        ({"slots": 0}, "slots is 0; wanted a whole number of at least 1"),
        ({"slots": 2.0}, "slots is 2.0"),
        ({"max_hops": 0}, "max_hops is 0"),
        ({"max_hops": True}, "max_hops is True"),
    ],
)
def test_a_pool_that_could_not_run_is_refused(minute_codec: Codec, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        minute_codec.pool(**({"slots": 1} | settings))


def test_a_batch_of_no_rows_is_refused(minute_codec: Codec) -> None:
    pool = minute_codec.pool(1)
    pool.feed(pool.open(), noise(8))
    with pytest.raises(InputError, match="max_rows is 0"):
        pool.next_batch(0)
    none = np.zeros(0, np.int64)
    with pytest.raises(InputError, match="a step got no rows"):
        minute_codec.engine.encode_step(np.zeros((0, 8), np.float32), pool._states, none, none, none, 3)
    assert pool.next_batch() is not None  # still there


def test_numpys_numbers_do_not_overflow(minute_codec: Codec) -> None:
    pool = minute_codec.pool(np.uint8(2), max_hops=np.uint8(200))  # type: ignore[arg-type]
    stream, pcm, outputs = pool.open(), noise(8 * 1000), []
    pool.feed(stream, pcm)
    pool.close(stream)
    while batch := pool.next_batch(np.int8(2), np.int8(100)):  # type: ignore[arg-type]
        batch.run()
        outputs += [output.data for output in pool.complete(batch)]
    np.testing.assert_array_equal(np.concatenate(outputs, axis=1), minute_codec.encode(pcm))
