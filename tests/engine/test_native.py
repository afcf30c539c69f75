"""The native engine apart from its bits: its functions within their bounds, refusals, memory, fork, no torch.

That it gives the same bits however audio is cut is in test_native_bits.py; STREAMRVQ_FULL=1 makes the long run a
million hops.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.config import CodecConfig
from streamrvq.engine import make_engine
from streamrvq.engine.lacking import NATIVE
from streamrvq.engine.native import Core, NativeEngine, Program, library
from streamrvq.errors import EngineError, SnapshotError, WeightsError
from streamrvq.families import encoder_plan
from streamrvq.geometry import Activation, LayerKind
from streamrvq.system.cores import available_cores
from tests.conftest import RealAudio
from tests.support.contract import TORCH, minute, needs_native, needs_torch, noise, weights_of
from tests.support.native import FULL, ISAS, codec_on, same_bits
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.children import needs_proc

pytestmark = needs_native


def test_snake_is_right_within_its_bound() -> None:
    """|error| ≤ 7 · 2⁻²⁴ of the height of the sine part and half a unit in the last place of the sum, at any phase.

    The sine itself is within 2.5 · 2⁻²⁴; squaring counts it twice; two more roundings and the reciprocal's are added.
    """
    core = codec_on(minute(), ISAS[0], 1).engine._core  # type: ignore[attr-defined]
    for alpha in (0.03, 0.5, 1.0, 1.7, 25.0):
        x = np.concatenate([
            np.linspace(-40, 40, 400_001), np.linspace(-2e4, 2e4, 200_001), np.geomspace(1e-30, 1e6, 50_001),
        ]).astype(np.float32)  # fmt: skip
        y = core.activate(Activation.SNAKE, alpha, x)
        exact, a = x.astype(np.float64), float(np.float32(alpha))
        wanted = exact + np.sin(a * exact) ** 2 / (a + 1e-9)
        bound = 7 * 2.0**-24 / a + 0.51 * np.spacing(np.maximum(np.abs(wanted), np.abs(exact)).astype(np.float32))
        assert (np.abs(y - wanted) <= bound).all(), (alpha, np.max(np.abs(y - wanted) / bound))


def test_elu_is_right_within_its_bound() -> None:
    """|error| ≤ 1.01 units in the last place, as of all floats from −18 to 0, and 0, ∞ and not-a-number are kept."""
    core = codec_on(minute(), ISAS[0], 1).engine._core  # type: ignore[attr-defined]
    x = np.concatenate([np.linspace(-20, 20, 400_001), -np.geomspace(1e-38, 20, 100_001)]).astype(np.float32)
    exact = x.astype(np.float64)
    wanted = np.where(exact > 0, exact, np.expm1(exact))
    y = core.activate(Activation.ELU, 0.0, x)
    assert (np.abs(y - wanted) <= 1.01 * np.spacing(np.abs(wanted).astype(np.float32))).all()
    special = core.activate(Activation.ELU, 0.0, np.array([0, np.inf, -np.inf, 128, -128, np.nan], np.float32))
    np.testing.assert_array_equal(special, [0, np.inf, -1, 128, -1, np.nan])


def test_gelu_is_right_within_its_bound() -> None:
    """|relative error| ≤ 12 · 2⁻²⁴ down to −13, next to 0 beyond, and not-a-number is kept."""
    core = codec_on(minute(), ISAS[0], 1).engine._core  # type: ignore[attr-defined]
    sizes = np.concatenate([np.linspace(0, 13, 200_001), np.geomspace(1e-7, 13, 100_001)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    exact = x.astype(np.float64)
    wanted = exact / 2 * np.array([math.erfc(value) for value in exact * -math.sqrt(0.5)])
    y = core.activate(Activation.GELU, 0.0, x)
    assert (np.abs(y - wanted) <= 12 * 2.0**-24 * np.abs(wanted)).all()
    special = core.activate(Activation.GELU, 0.0, np.array([0, 128, 14, np.nan, -14, -128], np.float32))
    np.testing.assert_array_equal(special[:4], [0, 128, 14, np.nan])
    assert np.abs(special[4:]).max() < 1e-36


def test_tanh_is_right_within_its_bound() -> None:
    """|relative error| ≤ 2.5 · 2⁻²⁴, odd, within ±1, and 0, ±∞ and not-a-number are kept."""
    core = codec_on(minute(), ISAS[0], 1).engine._core  # type: ignore[attr-defined]
    x = np.concatenate([np.linspace(-12, 12, 1_000_001), np.geomspace(1e-38, 1, 100_001)]).astype(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 100, -100], np.float32)
    for values in (x, special):
        y = core.tanh(values)
        wanted = np.tanh(values.astype(np.float64))
        if values is x:
            error = np.abs(y - wanted) / np.maximum(np.abs(wanted), 1e-45)
            assert error.max() <= 2.5 * 2.0**-24, error.max() * 2**24
            assert np.abs(y).max() <= 1
        else:
            np.testing.assert_array_equal(y, wanted.astype(np.float32))


@needs_torch
@pytest.mark.parametrize("width", [8, 32, pytest.param(64, marks=pytest.mark.heavy)])
def test_latents_are_right(real_audio: RealAudio, width: int, causal: bool) -> None:
    """Within 2e-5 of float64, relative to the largest: the first level's, which no choice of code has touched."""
    config = CodecConfig(encoder_dim=width, decoder_dim=32, causal=causal)
    native, exact = (
        Codec(weights_of(config), engine=e, dtype=d) for e, d in (("native", "float32"), ("torch", "float64"))
    )
    pcm = real_audio.excerpt(1.0)
    came, wanted = (codec.encode(pcm, n_quantizers=1, return_latents=True)[1] for codec in (native, exact))
    assert np.abs(came - wanted).max() <= 2e-5 * np.abs(wanted).max()


# ------------------------------------------------------------ behaviour


def test_names_and_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMRVQ_ISA", raising=False)
    weights = weights_of(minute())
    codec = Codec(weights, threads=3)
    assert codec.engine.description == f"native {ISAS[0]}, float32, 3 threads"
    assert codec.engine.threads == 3
    assert Codec(weights).engine.threads == available_cores()
    if TORCH:
        assert Codec(weights, dtype="float64").engine.name == "torch"
    with pytest.raises(EngineError, match="float32"):
        Codec(weights, engine="native", dtype="float64")
    with pytest.raises(EngineError, match="wanted 'auto', 'native', 'torch' or 'cuda'"):
        make_engine(weights.config, weights.tensors, engine="gpu")
    monkeypatch.setenv("STREAMRVQ_ISA", "mmx")
    with pytest.raises(EngineError, match=r"'mmx'; this build and machine have .*portable"):
        Codec(weights, engine="native")


def test_both_sides_number_kinds_and_activations_alike() -> None:
    """The library has the first of them, and refuses plans with the others."""
    assert dict(enumerate(library.layer_kinds())) == {int(kind): kind.name.lower() for kind in sorted(NATIVE.kinds)}
    activations = sorted(NATIVE.activations)
    assert dict(enumerate(library.activations())) == {int(one): one.name.lower() for one in activations}


def test_a_plan_that_is_none_is_refused() -> None:
    """By the library itself, whatever Python's side has checked."""
    core, plan, tensors = Core(ISAS[0], 1), encoder_plan(minute()), weights_of(minute()).tensors
    with pytest.raises(EngineError, match="must take the quantiser's latents"):
        core.set_plan(Program.DECODE, plan, tensors)
    unit = dataclasses.replace(plan, layers=tuple(layer for layer in plan.layers if layer.kind != LayerKind.JOIN))
    with pytest.raises(EngineError, match="a residual unit inside another"):
        core.set_plan(Program.ENCODE, unit, tensors)
    with pytest.raises(EngineError, match="program 1 has no plan yet"):
        core.step(Program.ENCODE, 1, None, *np.zeros((3, 1), np.int64))


def test_a_code_out_of_range_leaves_the_state_as_it_was() -> None:
    engine = NativeEngine(minute(), weights_of(minute()).tensors, threads=1)
    states, one = engine.new_states(1, "decode"), np.zeros(1, np.int64)
    codes = np.ones((1, 3, 2), np.int64)
    engine.decode_step(codes, states, one, one, one - 1)
    before = states.data.copy()
    codes[0, 1, 1] = 64
    with pytest.raises(EngineError, match="out of range"):
        engine.decode_step(codes, states, one, one + 2, one - 1)
    np.testing.assert_array_equal(states.data, before)


def test_a_neighbour_that_is_not_a_number_does_not_leak(causal: bool) -> None:
    config = minute(causal=causal)
    engine = NativeEngine(config, weights_of(config).tensors, threads=2)
    pcm = noise(3 * 40 * 8).reshape(3, -1)
    slots, zero = np.arange(3), np.zeros(3, np.int64)
    alone = engine.encode_step(pcm, engine.new_states(3, "encode"), slots, zero, zero - 1, 3, True)
    pcm[1] = np.nan
    beside = engine.encode_step(pcm, engine.new_states(3, "encode"), slots, zero, zero - 1, 3, True)
    for a, b in zip(alone, beside, strict=True):
        assert a is not None
        assert b is not None
        same_bits(b[[0, 2]], a[[0, 2]])


@needs_torch
def test_a_stream_moves_between_engines(causal: bool) -> None:
    config = minute(causal=causal)
    native, other = (Codec(weights_of(config), engine=name) for name in ("native", "torch"))
    pcm = noise(8 * 60 + 3)
    for first, second in ((native, other), (other, native)):
        stream = first.stream()
        codes = [stream.push(pcm[:250])]
        stream = second.stream(snapshot=type(stream.snapshot()).from_bytes(stream.snapshot().to_bytes()))
        codes += [stream.push(pcm[250:]), stream.flush()]
        np.testing.assert_array_equal(np.concatenate(codes, axis=1), native.encode(pcm))
    bad = [history[:, :-1] for history in native.engine.export_state(native.engine.new_states(1, "encode"), 0)]
    with pytest.raises(SnapshotError):
        native.engine.import_state(native.engine.new_states(1, "encode"), 0, bad)


def test_no_second_copy_of_the_weights(tmp_path: Path) -> None:
    """A loaded codec has packed them; it reads them again when asked, and notices if they have changed."""
    path = tmp_path / "w.safetensors"
    Codec(weights_of(minute())).save(path)
    codec = load(path, engine="native")
    assert codec._weights is None
    assert codec.codec_hash == weights_of(minute()).codec_hash
    for name, tensor in weights_of(minute()).tensors.items():
        same_bits(codec.weights.tensors[name], tensor)
    codec.save(tmp_path / "copy.safetensors")
    assert load(tmp_path / "copy.safetensors").codec_hash == codec.codec_hash
    Codec(weights_of(minute(), 1)).save(path)
    with pytest.raises(WeightsError, match="has changed since it was loaded"):
        codec.weights  # noqa: B018


@needs_proc
@pytest.mark.heavy
def test_memory_is_the_packed_weights() -> None:
    """Resident after loading dac-44khz and a second of audio: at most the packed weights and 120 MB."""
    out = python(
        "import numpy as np, streamrvq\n"
        "from streamrvq.engine.native import Program\n"
        "codec = streamrvq.load('dac-44khz', engine='native', weights='seeded')\n"
        "codec.decode(codec.encode(np.zeros(44100, np.float32)))\n"
        "programs = (Program.ENCODE, Program.DECODE)\n"
        "sizes = [codec.engine.core.weight_bytes(program, i) for program in programs for i in range(99)]\n"
        "packed = sum(size for size in sizes if size > 0)\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\n"
        "print(pages * 4096 - packed)"
    )
    assert int(out) <= 120e6, f"{int(out) / 1e6:.0f} MB beside the weights"


def python(code: str, **environment: str) -> str:
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, timeout=2 * PATIENCE, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": root} | environment,
    )  # fmt: skip
    return done.stdout.strip()


def test_tokenising_loads_no_torch() -> None:
    python(
        "import sys, numpy as np, streamrvq\n"
        "codec = streamrvq.load('causal-44khz', engine='native', threads=1)\n"
        "pcm = np.zeros(5000, np.float32)\n"
        "codes = codec.encode(pcm)\n"
        "codec.decode(codes)\n"
        "stream = codec.stream()\n"
        "stream.push(pcm), stream.flush()\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'"
    )


def test_a_forked_child_computes_on() -> None:
    """A child has none of its parent's threads; it gets its own, and the parent keeps computing too."""
    out = python(
        "import os, sys, warnings, numpy as np\n"
        "from streamrvq import Codec, CodecConfig\n"
        "from streamrvq.weights import seeded\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # of forking with threads, from Python 3.12 on
        "config = CodecConfig(encoder_dim=8, decoder_dim=32, latent_dim=32)\n"
        "codec = Codec(seeded(config), engine='native', threads=3)\n"
        "pcm = np.sin(np.arange(44100) * 0.05).astype(np.float32)\n"
        "wanted = codec.encode(pcm)\n"
        "child = os.fork()\n"
        "if not child: os._exit(0 if (codec.encode(pcm) == wanted).all() else 1)\n"
        "assert (codec.encode(pcm) == wanted).all()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "print('ok')"
    )
    assert out == "ok"


@needs_proc
def test_many_hops_keep_memory_flat(tmp_path: Path) -> None:
    """100 000 hops of a tiny codec (a million with STREAMRVQ_FULL=1), with streams coming and going.

    In a process of its own: memory that other tests had and gave back would hide what grows.
    """
    Codec(weights_of(minute())).save(tmp_path / "minute.safetensors")
    grown = python(
        "import numpy as np, streamrvq\n"
        f"codec = streamrvq.load({str(tmp_path / 'minute.safetensors')!r}, engine='native', threads=1)\n"
        "block = np.random.default_rng(0).uniform(-0.5, 0.5, 8 * 500).astype(np.float32)\n"
        "def some(count):\n"
        "    for _ in range(count // 2500):\n"
        "        stream = codec.stream()\n"
        "        for _ in range(5): stream.push(block)\n"
        "        stream.flush()\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "start = some(10_000)\n"
        f"print(some({1_000_000 if FULL else 100_000}) - start)"
    )
    assert int(grown) <= 4096  # KiB
