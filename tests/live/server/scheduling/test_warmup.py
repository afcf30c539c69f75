"""What is measured before the first client: of the engine, whatever it computes on."""

import functools

import pytest

from streamrvq.live.server.scheduling.warmup import MAX_ROW_HOPS, warm_up
from tests.support.service import CAUSAL, HOP


def test_warming_measures():
    capacity = warm_up(CAUSAL)
    assert set(capacity.row_hops) == {"encode", "decode"}
    assert capacity.streams >= 2
    assert 1 <= min(capacity.row_hops.values()) <= max(capacity.row_hops.values()) <= MAX_ROW_HOPS


@pytest.mark.parametrize(
    "likes, each, row_hop, streams, most",
    [
        (32, 0.0, 1e-4, 256, 64), (32, 0.1, 0.0, 256, 64), (32, 0.24, 0.0, 213, 64), (32, 0.0, 0.0432, 18, 23),
        (32, 0.0, 0.35, 2, 2), (2112, 0.0, 1e-4, 528, 528), (2112, 0.05, 0.0016, 472, 528),
    ],
)  # fmt: skip
def test_capacity_is_what_the_engine_takes(monkeypatch, likes, each, row_hop, streams, most):
    """The clock moves by what a step is said to take, in hops of audio, and by nothing else."""
    now, engine = 0.0, CAUSAL.engine
    monkeypatch.setattr(type(engine), "row_hops", likes)
    honest = {name: getattr(engine, name) for name in ("encode_step", "decode_step")}

    def step(name, data, *others):
        nonlocal now
        hops = data.shape[-1] // (HOP if name == "encode_step" else 1)
        now += (each + row_hop * data.shape[0] * hops) * HOP / CAUSAL.sample_rate
        return honest[name](data, *others)

    for name in honest:
        monkeypatch.setattr(engine, name, functools.partial(step, name))
    monkeypatch.setattr("streamrvq.live.server.scheduling.warmup.time.perf_counter", lambda: now)
    capacity = warm_up(CAUSAL)
    assert capacity.streams == streams
    assert capacity.row_hops == {"encode": most, "decode": most}
