"""Snapshots: a stream parked at any point and resumed is the same stream; anything else is refused.

Knows: both directions, as values and as bytes. Does not know: engines.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from streamrvq.codec import Codec
from streamrvq.errors import SnapshotError
from streamrvq.streaming.snapshot import Snapshot
from tests.support.contract import TORCH, codec_of, minute, noise

PCM = noise(300, seed=11)
SIZES = st.lists(st.integers(0, 60), max_size=6)


def through_bytes(snapshot: Snapshot) -> Snapshot:
    return Snapshot.from_bytes(snapshot.to_bytes())


@given(sizes=SIZES, park=st.lists(st.integers(0, 6), max_size=3), tail=st.sampled_from(["pad", "valid"]),
       levels=st.integers(1, 3), as_bytes=st.booleans())  # fmt: skip
def test_an_encoder_parked_at_any_points_goes_on_exactly(
    causal: bool, dtype: str, sizes: list[int], park: list[int], tail: str, levels: int, as_bytes: bool
) -> None:
    codec = codec_of(minute((2, 3), causal=causal), dtype)
    stream, straight = (codec.stream(n_quantizers=levels, tail=tail) for _ in range(2))
    start = 0
    for turn, size in enumerate([*sizes, 97]):
        for _ in range(park.count(turn)):
            snapshot = stream.snapshot()
            parked = codec.stream(snapshot=through_bytes(snapshot) if as_bytes else snapshot)
            assert parked.samples_received == stream.samples_received == start
            assert parked.frames_given == stream.frames_given
            assert parked.n_quantizers == levels
            stream.push(PCM[:40])  # the value does not change with the stream that it was taken of
            stream = parked
        block = PCM[start : start + size]
        np.testing.assert_array_equal(stream.push(block), straight.push(block))
        start += len(block)
    np.testing.assert_array_equal(stream.flush(), straight.flush())


@given(sizes=st.lists(st.integers(0, 7), max_size=6), park=st.integers(0, 6), levels=st.integers(1, 3))
def test_a_decoder_parked_at_any_point_goes_on_to_the_bit(
    causal: bool, dtype: str, sizes: list[int], park: int, levels: int
) -> None:
    codec = codec_of(minute((2, 3), causal=causal), dtype)
    codes = np.random.default_rng(3).integers(0, 64, (levels, 80))
    stream, straight, start = codec.decoder_stream(), codec.decoder_stream(), 0
    for turn, size in enumerate([*sizes, 30]):
        if turn == park:
            stream = codec.decoder_stream(snapshot=through_bytes(stream.snapshot()))
        block = codes[:, start : start + size]
        start += size
        np.testing.assert_array_equal(stream.push(block), straight.push(block))
    np.testing.assert_array_equal(stream.flush(), straight.flush())


def test_bytes_come_back_as_they_were(minute_codec: Codec) -> None:
    stream = minute_codec.stream(n_quantizers=2, tail="valid")
    stream.push(PCM[:77])
    snapshot = stream.snapshot()
    data = snapshot.to_bytes()
    assert Snapshot.from_bytes(data).to_bytes() == data
    assert Snapshot.from_bytes(bytearray(data)).to_bytes() == data
    assert (snapshot.clock, snapshot.length, snapshot.n_quantizers, snapshot.tail) == (9, -1, 2, "valid")
    np.testing.assert_array_equal(snapshot.remainder, PCM[72:77])
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.clock = 0  # type: ignore[misc]


def test_two_streams_of_one_snapshot_are_apart(minute_codec: Codec) -> None:
    stream = minute_codec.stream()
    stream.push(PCM[:77])
    snapshot = stream.snapshot()
    one, two = minute_codec.stream(snapshot=snapshot), minute_codec.stream(snapshot=snapshot)
    one.push(noise(100, seed=5))
    parts = [two.push(PCM[77:]), two.flush()]
    wanted = [stream.push(PCM[77:]), stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), np.concatenate(wanted, axis=1))


# ---------------------------------------------------------------------------------------------- refusals


def taken(codec: Codec) -> Snapshot:
    stream = codec.stream()
    stream.push(PCM[:77])
    return stream.snapshot()


def damaged(snapshot: Snapshot) -> dict[str, tuple[Snapshot, str]]:
    """Each with one thing wrong, and what the refusal says."""
    nan_history = [history.copy() for history in snapshot.histories]
    nan_history[2][0, 0] = np.nan
    wide = (np.zeros((snapshot.histories[0].shape[0], 9)), *snapshot.histories[1:])
    dtype = "float64" if snapshot.dtype == "float32" else "float32"
    other = tuple(history.astype(dtype) for history in snapshot.histories)
    loud = snapshot.remainder.copy()
    loud[0] = np.inf
    beyond = snapshot.remainder.copy()
    beyond[0] = 129
    new = dataclasses.replace
    return {
        "hash": (new(snapshot, codec_hash="0" * 64), "codec_hash"),
        "direction": (new(snapshot, direction="decode"), "direction"),
        "dtype": (new(snapshot, dtype=dtype), "dtype"),
        "version": (new(snapshot, version=2), "version"),
        "closed": (new(snapshot, length=80), "length"),
        "tail": (new(snapshot, tail="reflect"), "tail"),  # type: ignore[arg-type]
        "clock": (new(snapshot, clock=-1), "clock"),
        "huge clock": (new(snapshot, clock=2**60), "clock"),
        "no levels": (new(snapshot, n_quantizers=0), "levels"),
        "many levels": (new(snapshot, n_quantizers=4), "levels"),
        "whole hop left": (new(snapshot, remainder=np.zeros(8, np.float32)), "remainder"),
        "remainder type": (new(snapshot, remainder=snapshot.remainder.astype(np.float64)), "remainder"),
        "remainder shape": (new(snapshot, remainder=snapshot.remainder[None]), "remainder"),
        "remainder inf": (new(snapshot, remainder=loud), "remainder"),
        "remainder beyond samples": (new(snapshot, remainder=beyond), "within ±128"),
        "history missing": (new(snapshot, histories=snapshot.histories[:-1]), "histories"),
        "history shape": (new(snapshot, histories=wide), "history 0"),
        "history dtype": (new(snapshot, histories=other), "history 0"),
        "history nan": (new(snapshot, histories=tuple(nan_history)), "history 2 holds numbers that are not finite"),
    }


WRONG = list(damaged(taken(codec_of(minute()))))


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_wrong_snapshot_is_refused_with_what_is_wrong(minute_codec: Codec, what: str, as_bytes: bool) -> None:
    snapshot, message = damaged(taken(minute_codec))[what]
    with pytest.raises(SnapshotError, match=message):
        minute_codec.stream(snapshot=through_bytes(snapshot) if as_bytes else snapshot)


def test_a_snapshot_fits_its_own_codec_direction_and_dtype_only(minute_codec: Codec) -> None:
    snapshot = taken(minute_codec)
    config = minute_codec.config
    others = [codec_of(config, seed=1), codec_of(minute(causal=not config.causal))]
    for other in [*others, codec_of(config, "float32")] if TORCH else others:
        with pytest.raises(SnapshotError, match="restore it where it was taken"):
            other.stream(snapshot=snapshot)
    with pytest.raises(SnapshotError, match="direction"):
        minute_codec.decoder_stream(snapshot=snapshot)
    with pytest.raises(SnapshotError, match="direction"):
        minute_codec.stream(snapshot=minute_codec.decoder_stream().snapshot())


def test_a_snapshot_goes_without_other_settings(minute_codec: Codec) -> None:
    snapshot = taken(minute_codec)
    for settings in ({"n_quantizers": 2}, {"tail": "valid"}):
        with pytest.raises(SnapshotError, match="other settings"):
            minute_codec.stream(snapshot=snapshot, **settings)
    with pytest.raises(SnapshotError, match="sample_rate 16000 came with a snapshot of a stream at"):
        minute_codec.stream(snapshot=snapshot, sample_rate=16000)


@given(data=st.data())
def test_cut_or_foreign_bytes_are_refused(data: st.DataObject) -> None:
    good = taken(codec_of(minute())).to_bytes()
    kind = data.draw(st.sampled_from(["cut", "foreign", "longer"]))
    if kind == "cut":
        bad = good[: data.draw(st.integers(0, len(good) - 1))]
    elif kind == "foreign":
        bad = data.draw(st.binary(max_size=200))
    else:
        bad = good + data.draw(st.binary(min_size=1, max_size=9))
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(bad)


@given(at=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_harmless(at: int, byte: int) -> None:
    """Whichever byte changes, only our own error is raised. If none is, a stream made from the snapshot runs."""
    codec = codec_of(minute())
    data = bytearray(taken(codec).to_bytes())
    data[at % len(data)] ^= byte
    try:
        stream = codec.stream(snapshot=Snapshot.from_bytes(bytes(data)))
    except SnapshotError:
        return
    with np.errstate(all="ignore"):
        stream.push(PCM[:40])


def header_with(**values: Any) -> bytes:
    arrays = dict(load_tensors(taken(codec_of(minute())).to_bytes()))
    header = json.loads(arrays["header"].tobytes()) | values
    text = json.dumps({name: value for name, value in header.items() if value is not ...}).encode()
    arrays["header"] = np.frombuffer(text, np.uint8)
    return bytes(save_tensors(arrays))


@pytest.mark.parametrize(
    "values",
    [{"clock": 1.5}, {"clock": "9"}, {"clock": True}, {"clock": None}, {"tail": 3}, {"version": 9}, {"dtype": ...}],
)
def test_a_header_of_other_types_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(header_with(**values))


def test_a_header_that_would_take_much_memory_is_not_parsed() -> None:
    with pytest.raises(SnapshotError, match="a header of"):
        Snapshot.from_bytes(header_with(more=[[]] * 50_000))


@pytest.mark.parametrize("bad", [None, 5, "text", [1, 2], object()], ids=["none", "int", "str", "list", "object"])
def test_what_is_not_bytes_is_refused(bad: Any) -> None:
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(bad)


@pytest.mark.parametrize("kind", ["bytes", "int", "object"])
def test_what_is_no_snapshot_is_refused(minute_codec: Codec, kind: str) -> None:
    bad: Any = {"bytes": taken(minute_codec).to_bytes(), "int": 5, "object": object()}[kind]
    for open_stream in (minute_codec.stream, minute_codec.decoder_stream):
        with pytest.raises(SnapshotError, match=rf"the snapshot is a {kind}; wanted .* Snapshot\.from_bytes makes one"):
            open_stream(snapshot=bad)
