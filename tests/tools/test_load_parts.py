"""The parts of tools/load and tools/soak: codes compared, latencies, faults, growth and a server's figures."""

from __future__ import annotations

import os
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.contract import codec_of, noise
from tests.support.service import CAUSAL, RATE, int16
from tools.load_test import cores
from tools.load_test.clients.faults import KINDS, make_faults
from tools.load_test.cores import choose_cores, restored_affinity
from tools.load_test.errors import LoadError
from tools.load_test.latency import Shape, latencies, measure_latency
from tools.load_test.modes.soak import trend
from tools.load_test.record import End, Record
from tools.load_test.servers.metrics import Reading
from tools.load_test.servers.null_codec import null_codec
from tools.load_test.settings import Settings
from tools.load_test.usage import Usage
from tools.load_test.verify import Finding, verify


class Ramp:
    """A `LoopedAudio` of noise."""

    rate, longest = RATE, RATE

    def __init__(self) -> None:
        self._samples = int16(noise(4 * RATE))

    def samples(self, start: int, count: int) -> Any:
        return self._samples[start : start + count]


def recorded(samples: int, codes: np.ndarray[Any, Any], **fields: Any) -> Record:
    """A stream that sent so much and got these codes."""
    record = Record(0, 100, RATE, 64, samples=samples, **fields)
    record.levels, record.frames, record.codes = codes.shape[0], codes.shape[1], bytearray(codes.T.astype("<u2"))
    return record


def test_verify_finds_every_kind_of_difference() -> None:
    audio, samples = Ramp(), RATE + 7
    whole = CAUSAL.encode(audio.samples(100, samples))
    done = {"final": True, "end": End.DONE, "announced": whole.shape[1]}
    assert verify(recorded(samples, whole, **done), CAUSAL, audio).good(exact=True)
    assert verify(recorded(samples, whole[:, :50]), CAUSAL, audio).good(exact=True)  # it was killed
    found = verify(recorded(samples, whole[:, :-1], **done), CAUSAL, audio)
    assert (found.missing, found.wrong, found.good(exact=False)) == (1, 0, False)
    for sent in (64, samples - 64):
        assert verify(recorded(sent, whole), CAUSAL, audio).surplus == whole.shape[1] - sent // 64
    for level, frame in ((0, 0), (2, whole.shape[1] - 1)):
        bad = whole.copy()
        bad[level, frame] ^= 1
        found = verify(recorded(samples, bad, **done), CAUSAL, audio)
        assert (found.wrong, found.wrong_frames) == (1, 1)
        assert f"frame {frame}, level {level}" in found.first


@given(st.integers(1, 5), st.integers(0, 3), st.sampled_from([8_000, 16_000, 44_100, 48_000]), st.integers(1, 700))
def test_latency_is_from_the_sample_that_enables_a_frame(per: int, delay: int, rate: int, block: int) -> None:
    """Each message is sent at a whole second, and each frame comes half a second after what it needs."""
    shape = Shape(16_000, 64, delay)
    record = Record(0, 0, rate, block, samples=block * 40, sent=array("d", range(40)))
    needs = [-(-(frame + 1 + delay) * 64 * rate // 16_000) for frame in range(10_000)]
    messages = [(need - 1) // block for need in needs]
    enabled = [message for message in messages if message < 40]
    for start in range(0, len(enabled), per):
        group = enabled[start : start + per]
        record.times.append(group[-1] + 0.5)
        record.counts.append(len(group))
    came, late = latencies(record, shape)
    assert len(came) == len(enabled)
    firsts = range(0, len(enabled), per)
    wanted = [enabled[min(i + per, len(enabled)) - 1] + 0.5 - enabled[i] for i in firsts]
    assert np.allclose(late[::per], wanted)


def steady(number: int, slow: tuple[float, float] | None = None, **fields: Any) -> Record:
    """A hundred frames a second for twenty seconds, each 1 ms late; 31 ms between two times."""
    record = Record(number, 0, 16_000, 160, **fields)
    for frame in range(2000):
        sent = frame / 100
        record.sent.append(sent)
        record.times.append(sent + (0.031 if slow and slow[0] <= sent < slow[1] else 0.001))
        record.counts.append(1)
    return record


def test_what_faults_do_to_others_is_seen() -> None:
    shape = Shape(16_000, 160, 0)
    stalled = steady(9, (0.0, 20.0), fault=("stall", 5.0))
    calm = measure_latency([steady(0), steady(1), stalled], shape, [5.0], 3.0, 0.0, 20.0, 10.0)
    assert calm.all.frames == 4000
    assert calm.move == pytest.approx(0, abs=1e-9)
    assert [spread.frames for spread in calm.periods] == [2000, 2000]
    moved = measure_latency([steady(0), steady(1, (5.0, 7.0))], shape, [5.0], 3.0, 0.0, 20.0, 10.0)
    assert moved.worst_move == pytest.approx(0.03)
    assert moved.move == pytest.approx(0.03)
    assert moved.away.p99 == pytest.approx(0.001)


def test_faults_are_dealt_from_a_seed() -> None:
    settings = Settings(streams=64, seconds=600, faults=0.05)
    faults = make_faults(settings).list
    assert len(faults) == 30
    assert faults == make_faults(settings).list
    assert [sum(fault.kind == kind for fault in faults) for kind in KINDS] == [6] * len(KINDS)
    assert [sum(60 * i <= fault.at < 60 * (i + 1) for fault in faults) for i in range(10)] == [3] * 10
    assert make_faults(Settings(seed=1, streams=64, seconds=600, faults=0.05)).list != faults
    assert not make_faults(Settings()).list


def test_growth_is_seen() -> None:
    flat = [Usage(float(t), 0.0, (100 << 20) + (t % 7 << 10), 20 + t % 2) for t in range(0, 1800, 5)]
    found = trend(flat)
    assert abs(found.rss_mib_per_hour) < 0.1
    assert found.fds[1] - found.fds[0] < 1
    warm = [Usage(u.time, 0.0, u.rss + (min(int(u.time), 250) << 16), u.fds) for u in flat]
    assert abs(trend(warm).rss_mib_per_hour) < 0.1
    growing = [Usage(u.time, 0.0, u.rss + int(u.time * 1e4), u.fds + int(u.time / 100)) for u in flat]
    assert trend(growing).rss_mib_per_hour > 30
    assert trend(growing).fds[1] - trend(growing).fds[0] > 5


def test_figures_of_a_server() -> None:
    text = """# TYPE streamrvq_step_seconds histogram
streamrvq_step_seconds_bucket{direction="encode",le="0.001"} %d
streamrvq_step_seconds_bucket{direction="encode",le="0.002"} %d
streamrvq_step_seconds_bucket{direction="encode",le="+Inf"} %d
streamrvq_step_seconds_count{direction="encode"} %d
# TYPE streamrvq_closed counter
streamrvq_closed_total{code="1000"} %d
"""
    before, after = Reading.parse(text % (5, 5, 5, 5, 1)), Reading.parse(text % (55, 105, 105, 105, 3))
    figures = after.since(before)
    assert figures.get("step_seconds_count", direction="encode") == 100
    assert figures.closes() == {"1000": 2}
    assert figures.percentile("step_seconds", 0.5, direction="encode") == pytest.approx(0.001)
    assert figures.percentile("step_seconds", 0.75, direction="encode") == pytest.approx(0.0015)
    assert figures.percentile("step_seconds", 0.5, direction="decode") is None


def test_the_codec_that_costs_nothing_shows_what_is_mixed_up() -> None:
    codec, pcm = null_codec(), int16(noise(512 * 8))
    codes = codec.encode(pcm)
    assert codes.shape == (9, 8)
    assert np.array_equal(codes.T, pcm.reshape(8, 512)[:, :9].astype(int) & 1023)
    stream = codec.stream()
    assert np.array_equal(np.concatenate([stream.push(pcm[:700]), stream.push(pcm[700:]), stream.flush()], 1), codes)
    assert codec.codec_hash == null_codec().codec_hash != codec_of(CAUSAL.config).codec_hash


def test_near_ties_are_a_share_of_frames() -> None:
    found = Finding(codes=90_000, frames=10_000, wrong=1, wrong_frames=1)
    assert found.good(exact=False)
    assert not found.good(exact=True)
    assert not (found + Finding(codes=81_000, frames=9_000, wrong=1, wrong_frames=1)).good(exact=False)
    audio, samples = Ramp(), RATE + 7
    whole = CAUSAL.encode(audio.samples(100, samples))
    assert verify(recorded(samples, whole[:, :50]), CAUSAL, audio).frames == 50
    assert verify(recorded(samples, whole[:2, :50]), CAUSAL, audio).frames == 50


def test_where_no_process_can_be_tied_to_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: a run goes without, unless it was asked for."""
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(cores, "_TIES", False)
    ran = []
    with restored_affinity(), choose_cores(pin=False).started_on_server_core():
        ran.append("a server")
    assert ran == ["a server"]
    with pytest.raises(LoadError, match="--pin was given where"):
        choose_cores(pin=True)
