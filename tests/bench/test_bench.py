"""The bench measures what it says: the shape of its report and the arithmetic in it. No time is asserted."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq import bench
from streamrvq.bench import machine, run_bench
from streamrvq.bench.official import OfficialModel
from streamrvq.bench.stand_in import stand_in
from streamrvq.bench.steps import Cell, gbytes_per_step, gflop_per_hop, summarise
from streamrvq.config import PRESETS
from streamrvq.errors import InputError
from streamrvq.families import plan, tensor_shapes
from tests.support.command import Run
from tests.support.contract import codec_of, minute, needs_native, weights_of


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines are measured with small arrays here, and for a moment."""
    monkeypatch.setattr(machine, "SIDES", (32,))
    monkeypatch.setattr(machine, "READ_BYTES", 1 << 16)
    monkeypatch.setattr(machine, "SECONDS", 0.03)


def test_report(causal: bool) -> None:
    codec = codec_of(minute(causal=causal), "float32")
    said: list[str] = []
    report = run_bench(codec, hops=[1, 3], rows=[1, 2], decode=True, official=False, seconds=0.004, rounds=2,
                       progress=said.append)  # fmt: skip
    assert [(t.rows, t.hops) for t in report.encode] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert [(t.rows, t.hops) for t in report.decode] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert report.official is None
    assert report.official_skipped == "not asked for"
    assert report.machine.gflops > 0
    assert report.machine.gbytes > 0
    assert report.machine.threads == codec.engine.threads
    assert said[0] == "machine"
    assert said[-1].startswith("round 2 of 2: decode")
    for timed in (*report.encode, *report.decode):
        audio = timed.hops * codec.hop_length / codec.sample_rate
        assert timed.steps >= 4  # two a round at least
        assert 0 < timed.p50_ms <= timed.p99_ms
        assert timed.rtf == pytest.approx(timed.p50_ms / 1e3 / audio)
        assert timed.rtf_per_stream == pytest.approx(timed.rtf / timed.rows)
        gflop = gflop_per_hop(codec.config, timed.direction) * timed.hops * timed.rows
        assert timed.gflops == pytest.approx(gflop / (timed.p50_ms / 1e3))
        assert timed.peak_share == pytest.approx(timed.gflops / report.machine.gflops)
        assert timed.bandwidth_share == pytest.approx(timed.weights_gbytes / report.machine.gbytes)


def test_paced_steps_begin_no_sooner_than_their_audio_is_there(causal: bool) -> None:
    codec = codec_of(minute(causal=causal), "float32")
    cell = Cell(codec.engine, "encode", hops=20, rows=1, paced=True)
    begun = time.perf_counter()
    cell.run(0.001)
    assert time.perf_counter() - begun >= len(cell.times) * 20 * codec.hop_length / codec.sample_rate
    report = run_bench(codec, hops=[1], rows=[1], official=False, seconds=0.004, rounds=1, paced=True)
    assert report.paced


def test_bulk_beside_the_bare_engine(run: Run, wav: Path, weights: Path) -> None:
    done = run("bench", weights, "--corpus", wav, "--workers", 1, "--rounds", 2, "--seconds", 0.01, "--json").document
    assert done["audio_seconds"] == pytest.approx(0.1)
    assert done["workers"] == 1
    assert len(done["bulk"]) == len(done["bare"]) == len(done["reading"]) == 2
    assert min(done["bulk"] + done["bare"] + done["reading"]) > 0
    ratios = [one / other for one, other in zip(done["bulk"], done["bare"], strict=True)]
    assert done["ratio"] == pytest.approx(sum(ratios) / 2)
    slower = map(min, done["bare"], done["reading"])
    ratios = [one / other for one, other in zip(done["bulk"], slower, strict=True)]
    assert done["ratio_to_slower"] == pytest.approx(sum(ratios) / 2)
    soundfile.write(wav, np.zeros(0, np.float32), 16_000)
    said = run("bench", weights, "--corpus", wav, "--workers", 1, "--seconds", 0.01).sentence
    assert "the sources have no sample; wanted audio to measure with" in said
    wav.write_bytes(b"")
    assert "is empty" in run("bench", weights, "--corpus", wav, "--workers", 1, "--seconds", 0.01).sentence


@needs_native
def test_the_least_part_of_a_step_is_what_its_layers_were_timed_with() -> None:
    engine = codec_of(minute(), "float32", "native").engine
    core, most = engine.core, engine.row_hops  # type: ignore[attr-defined]
    parts = {(1, 1): 1, (3, 2): 6, (1, most): most, (1, 33): 16, (34, 1): 17, (8, 16): 32, (5, 7): 15}
    assert {step: core.least_part(*step) for step in parts} == parts


@needs_native
def test_the_native_engines_layers(causal: bool) -> None:
    codec = codec_of(minute(causal=causal), "float32", "native")
    report = run_bench(codec, hops=[2], rows=[3], decode=True, official=False, seconds=0.01, rounds=1, layers=True)
    assert report.machine.gflops > 1
    assert report.machine.gbytes > 0.1
    assert report.machine.fed_gflops is not None
    assert report.machine.fed_gflops > 1
    for direction, timed in (("encode", report.encode), ("decode", report.decode)):
        lines = [line for line in report.layers if line.direction == direction]
        assert lines[0].name == "input"
        assert lines[-1].name == "end"
        convolutions = [layer.name for layer in plan(codec.config, direction).layers if layer.tensors is not None]  # type: ignore[arg-type]
        assert [line.name for line in lines[1:-1]] == [name for name in convolutions if name in {x.name for x in lines}]
        assert sum(line.shape.count("→") for line in lines) == len(convolutions)
        assert [line for line in lines if not 0 < line.microseconds < 1e6] == []
        assert [line for line in lines[1:-1] if line.gflops <= 0 or line.gbytes <= 0] == []
        share = max(timed[0].peak_share, timed[0].bandwidth_share)
        assert timed[0].roofline_share == pytest.approx(share)


@needs_native
def test_layers_are_those_of_the_smallest_step_in_whatever_order_they_are_asked_for() -> None:
    codec = codec_of(minute(), "float32", "native")
    asked = {"hops": [4, 1, 2], "rows": [3, 1], "decode": True, "official": False}
    report = run_bench(codec, **asked, seconds=0.01, rounds=1, layers=True)  # type: ignore[arg-type]
    assert {(line.direction, line.hops, line.rows) for line in report.layers} == {("encode", 1, 1), ("decode", 1, 1)}


def test_stands_in_for_weights_that_half_precision_cannot_hold() -> None:
    seeded = weights_of(minute(causal=True))
    for name, value in stand_in(seeded).tensors.items():
        assert np.allclose(value, seeded.tensors[name], rtol=2e-6, atol=0)
        assert not np.any((value.astype(np.float16) == value) & (value != 0)), name
    trained = dataclasses.replace(seeded, trained=True)
    assert stand_in(trained) is trained


def test_the_work_is_that_of_the_design() -> None:
    config = PRESETS["dac-44khz"]
    rate = config.sample_rate / config.hop_length
    assert gflop_per_hop(config, "encode") * rate == pytest.approx(61.3, abs=0.1)
    assert gflop_per_hop(config, "decode") * rate == pytest.approx(138.5, abs=0.1)


def test_every_weight_is_read_once() -> None:
    config = minute()
    shapes = tensor_shapes(config)
    numbers = sum(int(np.prod(s)) for name, s in shapes.items()
                  if name.endswith(".weight") and name.startswith(("encoder.", "quantizer.")))  # fmt: skip
    assert gbytes_per_step(codec_of(config, "float32").engine, "encode") * 1e9 == pytest.approx(4 * numbers)


def test_steps_are_steady_and_their_own(causal: bool) -> None:
    """Clocks start beyond every delay and advance, so that each step is like the one before."""
    codec = codec_of(minute(causal=causal), "float32")
    for direction in ("encode", "decode"):
        cell = Cell(codec.engine, direction, 2, 3)  # type: ignore[arg-type]
        cell.run(1e-9)
        assert len(cell.times) == 2
        assert set(cell._clock.ravel()) == {cell._clock.flat[0]}
        assert cell._clock[0] >= 7
        assert summarise(cell, machine.Machine(1, 1.0, 1.0)).steps == 2


def test_the_official_model() -> None:
    pytest.importorskip("transformers")
    codec = codec_of(minute(), "float32")
    report = run_bench(codec, hops=[1], rows=[1], decode=True, seconds=0.002, rounds=2, official_seconds=0.01)
    assert report.official_skipped is None
    assert report.official is not None
    assert "DacModel" in report.official.name
    assert report.official.rtf > 0
    assert report.official.decode_rtf is not None
    assert report.official.decode_rtf > 0
    assert report.official.audio_seconds == pytest.approx(55 * 8 / 44100)


def test_no_official_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transformers", "dac"):
        monkeypatch.setitem(sys.modules, name, None)
    report = run_bench(codec_of(minute(), "float32"), hops=[1], rows=[1], seconds=0.001, rounds=1)
    assert report.official is None
    assert report.official_skipped is not None
    assert "pip install transformers" in report.official_skipped


LENGTHS = [{"seconds": length} for length in (math.nan, math.inf, -1.0)]
LENGTHS += [{"official_seconds": length} for length in (math.nan, math.inf, 1e308, 0.0)]


@pytest.mark.parametrize("bad", [{"hops": [0]}, {"rows": []}, {"rounds": 0}, {"seconds": 0.0}, *LENGTHS])
def test_bad_settings(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        run_bench(codec_of(minute(), "float32"), **({"official": False} | bad))  # type: ignore[arg-type]


def test_machine_puts_threads_back() -> None:
    import torch

    before = torch.get_num_threads()
    measured = bench.measure_machine(before + 1)
    assert measured.threads == before + 1
    assert torch.get_num_threads() == before
    json.dumps(measured.__dict__, allow_nan=False)


def test_a_codec_with_a_stem_has_no_official_model_to_be_compared_with() -> None:
    model, why = OfficialModel.make(minute((4, 4), causal=True, stem=4), 0.1, 1, decode=True)
    assert model is None
    assert why is not None
    assert "stem" in why
