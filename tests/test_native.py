"""The native engine's promise: the same bits however audio is cut, on any number of threads and any instruction set.

Knows: the public API, pools with neighbours of other ages, and for single layers the library itself. Its arithmetic is
held against exact fractions here and against plain C++ loops in test_native_build.py; being right to rounding is the
contract's affair (test_contract.py).

The covering array is 500 tuples over 10 minutes of real audio; STREAMRVQ_FULL=1 makes it an hour, the full-width tuples
30 s each, and the long run a million hops.
"""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.config import PRESETS, CodecConfig
from streamrvq.engine import make_engine
from streamrvq.engine.native import NativeEngine, available_cores
from streamrvq.errors import EngineError, SnapshotError, WeightsError
from streamrvq.geometry import Plan, _Builder
from streamrvq.pool import StreamPool
from tests.conftest import RealAudio
from tests.contract import (
    NATIVE,
    NativeLayers,
    cut,
    log_uniform,
    minute,
    needs_native,
    noise,
    streamed,
    streamed_latents,
    tiny,
    weights_of,
)

pytestmark = needs_native

FULL = os.environ.get("STREAMRVQ_FULL") == "1"
if NATIVE:
    from streamrvq.engine.library import isas

    ISAS = isas()
else:
    ISAS = ["portable"]
FAST = [isa for isa in ISAS if isa != "portable"] or ISAS


@lru_cache(maxsize=64)
def codec_on(config: CodecConfig, isa: str, threads: int) -> Codec:
    before = os.environ.get("STREAMRVQ_ISA")
    os.environ["STREAMRVQ_ISA"] = isa
    try:
        return Codec(weights_of(config), engine="native", threads=threads)
    finally:
        os.environ.pop("STREAMRVQ_ISA") if before is None else os.environ.__setitem__("STREAMRVQ_ISA", before)


def same_bits(came: Any, wanted: Any, why: str = "") -> None:
    assert came.shape == wanted.shape and came.dtype == wanted.dtype, why
    if came.dtype == np.float32:
        came, wanted = came.view(np.uint32), wanted.view(np.uint32)
    np.testing.assert_array_equal(came, wanted, err_msg=why)


# ------------------------------------------------------------------ (a) layers

KINDS = [
    *(("conv", 7, 1, dilation) for dilation in (1, 3, 9)),
    ("conv", 1, 1, 1),
    *(("conv", 2 * stride, stride, 1) for stride in (1, 2, 3, 8)),
    *(("tconv", 2 * stride, stride, 1) for stride in (1, 2, 5, 8)),
    ("unit", 7, 1, 3),
]


def one_layer(kind: str, kernel: int, stride: int, dilation: int, width: int, causal: bool) -> Plan:
    build = _Builder(minute(causal=causal), width, stride if kind == "conv" else 1)
    if kind == "unit":
        build.residual_unit("l", dilation)
    elif kind == "tconv":
        build.tconv("l", width + 3, stride, snake="s")
    else:
        build.conv("l", width + 3, kernel, stride=stride, dilation=dilation, snake="s")
    return Plan("encode", tuple(build.layers), build.layers[0].rate_in, build.rate)


def tensors_of(plan: Plan, halves: bool) -> dict[str, Any]:
    rng, tensors = np.random.default_rng(5), {}
    for layer in plan.layers:
        if layer.snake:
            tensors[f"{layer.snake}.alpha"] = rng.uniform(0.2, 3, (1, layer.cin, 1)).astype(np.float32)
        if layer.weights:
            ends = (layer.cin, layer.cout) if layer.kind == "tconv" else (layer.cout, layer.cin)
            weight = rng.standard_normal((*ends, layer.kernel)).astype(np.float16 if halves else np.float32)
            tensors[f"{layer.name}.weight"] = weight.astype(np.float32)
            tensors[f"{layer.name}.bias"] = rng.standard_normal(layer.cout).astype(np.float32)
    return tensors


@pytest.mark.parametrize(("kind", "kernel", "stride", "dilation"), KINDS)
def test_a_layer_has_the_same_bits_at_every_row_count(
    kind: str, kernel: int, stride: int, dilation: int, causal: bool
) -> None:
    """1 … 2 · tile + 1 rows (a tile has up to 8) × widths × instruction sets × threads; and row by row."""
    for width, halves in itertools.product((1, 5, 16, 37), (False, True)):
        plan = one_layer(kind, kernel, stride, dilation, width, causal)
        tensors = tensors_of(plan, halves)
        x = noise(17 * plan.unit_in * width, seed=width).reshape(width, -1)
        runners = [
            NativeLayers(minute(causal=causal), plan, tensors, "float32", isa=isa, threads=threads)
            for isa, threads in [*itertools.product(FAST, (1, 2)), ("portable", 1)]
        ]
        wanted = None
        for runner in runners:
            single = [runner.step(x[:, i * plan.unit_in : (i + 1) * plan.unit_in], i, -1) for i in range(17)]
            whole = np.concatenate(single, axis=1)
            wanted = whole if wanted is None else wanted
            same_bits(whole, wanted, f"{kind} {width}")
            for rows in range(1, 18):
                runner._states.data[:] = 0
                same_bits(
                    runner.step(x[:, : rows * plan.unit_in], 0, -1), wanted[:, : rows * plan.unit_out], f"{rows} rows"
                )
            runner._states.data[:] = 0


def test_a_chain_is_that_of_the_design() -> None:
    """bias, then tap by tap and channel by channel one fused multiply-add: in exact fractions, rounded once each."""

    def fma(x: np.float32, w: np.float32, total: np.float32) -> np.float32:
        return rounded(Fraction(float(x)) * Fraction(float(w)) + Fraction(float(total)))

    build = _Builder(minute(causal=True), 6, 1)
    build.conv("l", 3, 7, dilation=3)
    plan = Plan("encode", tuple(build.layers), 1, 1)
    tensors = tensors_of(plan, False)
    x = noise(6 * 30).reshape(6, 30)
    came = NativeLayers(minute(causal=True), plan, tensors, "float32").step(x, 0, -1)
    weight, bias = tensors["l.weight"], tensors["l.bias"]
    for out, t in itertools.product(range(3), (18, 24, 29)):
        total = bias[out]
        for tap, channel in itertools.product(range(7), range(6)):
            total = fma(x[channel, t - 18 + 3 * tap], weight[out, channel, tap], total)
        assert came[out, t] == total


def rounded(exact: Fraction) -> np.float32:
    """To the nearest float32, ties to even."""
    guess = np.float32(float(exact))  # may have been rounded twice: its neighbours decide
    near = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(near, key=lambda f: (abs(Fraction(float(f)) - exact), int(f.view(np.uint32)) & 1))


# ------------------------------------------------- (b) the covering array

SIZES = [1, 7, 100, 441, 511, 512, 513, 1000, 1024, 1536, 2048, 4096, 5000, 8191, 8192, 8193, 20_000]
CHUNKINGS: list[int] = SIZES + [0] * (25 - len(SIZES))  # 0: random sizes
EXCERPTS = 20
THREADS, BATCHES, DIRECTIONS = [1, 2, 3], [1, 2, 3, 5], ["encode", "decode"]
SECONDS = 7.2 if FULL else 1.2


def covering_array() -> Iterator[tuple[int, int, int, int, str, bool, str]]:
    """500 tuples in which every two values of any two factors meet (checked below)."""
    draws = np.random.default_rng(0).random((len(CHUNKINGS) * EXCERPTS, 5))
    for (c, e), draw in zip(itertools.product(range(len(CHUNKINGS)), range(EXCERPTS)), draws, strict=True):
        others = (THREADS, BATCHES, FAST, [False, True], DIRECTIONS)
        threads, batch, isa, is_causal, direction = (x[int(u * len(x))] for x, u in zip(others, draw, strict=True))
        yield c, e, threads, batch, isa, is_causal, direction  # type: ignore[misc]


def test_the_array_covers_every_pair() -> None:
    tuples = list(covering_array())
    assert len(tuples) == 500
    for a, b in itertools.combinations(range(7), 2):
        met = {(t[a], t[b]) for t in tuples}
        assert len(met) == len({t[a] for t in tuples}) * len({t[b] for t in tuples}), (a, b)


def excerpt(audio: RealAudio, number: int, seconds: float) -> Any:
    clips = list(audio.clips.values())
    clip = clips[number % len(clips)]
    start = (number * 44100 * 3) % (len(clip) - 44100 * 8)
    return clip[start : start + round(seconds * 44100)]


@lru_cache(maxsize=128)
def offline(audio: RealAudio, config: CodecConfig, number: int, seconds: float) -> tuple[Any, Any, Any]:
    """Codes, latents and samples: one stream, one thread, the best instruction set, the largest steps."""
    codec = codec_on(config, ISAS[0], 1)
    codes, latents = codec.encode(excerpt(audio, number, seconds), return_latents=True)
    return codes, latents, codec.decode(codes)


def sizes_of(chunking: int, most: int) -> Iterator[int]:
    size = CHUNKINGS[chunking]
    if not size:
        return log_uniform(np.random.default_rng(chunking), 1, most)
    return itertools.repeat(size if most > 1000 else 1 + size % most)


def in_company(codec: Codec, direction: Any, signal: Any, sizes: Iterator[int], batch: int) -> Any:
    """What a stream gives in a pool of ``batch`` streams, whose others came before it with signals of their own."""
    pool = StreamPool(codec, slots=batch, direction=direction)
    others = [pool.open() for _ in range(batch - 1)]
    unit = codec.hop_length if direction == "encode" else 1

    def feed(stream: Any, number: int, units: int) -> None:
        if direction == "encode":
            pool.feed(stream, noise(units * unit, seed=number))
        else:
            pool.feed(stream, np.random.default_rng(number).integers(0, 1024, (9, units)))

    parts, mine = [], None

    def run() -> None:
        while batch_ := pool.next_batch():
            batch_.run()
            parts.extend(out.data for out in pool.complete(batch_) if out.stream == mine)

    for i, other in enumerate(others):  # of different ages
        feed(other, i, 2 * i + 1)
        run()
    mine = pool.open()
    for number, piece in enumerate(cut(signal, sizes)):
        pool.feed(mine, piece)
        if number < 40:
            for i, other in enumerate(others):
                feed(other, number * 9 + i, 1 + (number + i) % 3)
        run()
    pool.close(mine)
    run()
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("group", range(10))
def test_chunking_never_shows(real_audio: RealAudio, group: int) -> None:
    for number, (c, e, threads, batch, isa, is_causal, direction) in enumerate(covering_array()):
        if number % 10 != group:
            continue
        config = tiny(causal=is_causal)
        check_tuple(real_audio, codec_on(config, isa, threads), c, e, batch, direction, SECONDS)


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_portable_path_has_the_same_bits(real_audio: RealAudio, is_causal: bool) -> None:
    codec = codec_on(tiny(causal=is_causal), "portable", 2)
    for c, batch, direction in ((3, 1, "encode"), (24, 2, "encode"), (5, 1, "decode"), (23, 3, "decode")):
        check_tuple(real_audio, codec, c, c, batch, direction, 0.4)


def check_tuple(audio: RealAudio, codec: Codec, c: int, e: int, batch: int, direction: str, seconds: float) -> None:
    codes, latents, samples = offline(audio, codec.config, e, seconds)
    kind = "causal" if codec.config.causal else "symmetric"
    why = f"{codec.engine}, {kind}, chunking {c}, excerpt {e}, {batch} streams"
    pcm = excerpt(audio, e, seconds)
    if direction == "encode":
        if batch == 1:
            same_bits(streamed(codec.stream(), pcm, sizes_of(c, 20_000)), codes, why)
            same_bits(streamed_latents(codec, pcm, sizes_of(c, 20_000), "pad"), latents, why)
        else:
            same_bits(in_company(codec, "encode", pcm, sizes_of(c, 20_000), batch), codes, why)
    elif batch == 1:
        same_bits(streamed(codec.decoder_stream(), codes, sizes_of(c, 40)), samples, why)
    else:
        same_bits(in_company(codec, "decode", codes, sizes_of(c, 40), batch), samples, why)


# ------------------------------------------------------- (c) full width


@pytest.mark.heavy
@pytest.mark.parametrize("preset", ["dac-44khz", "causal-44khz"])
def test_full_width_has_the_same_bits(real_audio: RealAudio, preset: str) -> None:
    """12 tuples of 30 s (2 s, unless STREAMRVQ_FULL=1)."""
    config, seconds = PRESETS[preset], 30.0 if FULL else 2.0
    choices = zip(
        itertools.cycle([1, 2]), itertools.cycle(FAST), [1, 1, 2, 1, 3, 1, 2, 1, 1, 2, 1, 1],
        [0, 3, 5, 6, 9, 12, 13, 16, 17, 20, 23, 24], ["encode", "decode", "encode"] * 4, strict=False,
    )  # fmt: skip
    for threads, isa, batch, chunking, direction in choices:
        if CHUNKINGS[chunking] == 1:
            chunking = 2  # a push a sample is tested on the tiny codec
        check_tuple(real_audio, codec_on(config, isa, threads), chunking, 6, batch, direction, seconds)


# ------------------------------------------------------------- functions


def test_snake_is_right_within_its_bound() -> None:
    """|error| ≤ 7 · 2⁻²⁴ of the height of the sine part and half a unit in the last place of the sum, at any phase.

    The sine itself is within 2.5 · 2⁻²⁴; squared that counts twice; two more roundings and the reciprocal's come on.
    """
    core = codec_on(minute(), ISAS[0], 1)._engine._core  # type: ignore[attr-defined]
    for alpha in (0.03, 0.5, 1.0, 1.7, 25.0):
        x = np.concatenate([
            np.linspace(-40, 40, 400_001), np.linspace(-2e4, 2e4, 200_001), np.geomspace(1e-30, 1e6, 50_001),
        ]).astype(np.float32)  # fmt: skip
        y = np.empty_like(x)
        core.check(core._lib.srvq_snake(core._handle, x.ctypes.data, y.ctypes.data, x.size, alpha))
        exact, a = x.astype(np.float64), float(np.float32(alpha))
        wanted = exact + np.sin(a * exact) ** 2 / (a + 1e-9)
        bound = 7 * 2.0**-24 / a + 0.51 * np.spacing(np.maximum(np.abs(wanted), np.abs(exact)).astype(np.float32))
        assert (np.abs(y - wanted) <= bound).all(), (alpha, np.max(np.abs(y - wanted) / bound))


def test_tanh_is_right_within_its_bound() -> None:
    """|relative error| ≤ 2.5 · 2⁻²⁴, odd, within ±1, and 0, ±∞ and not-a-number are kept."""
    core = codec_on(minute(), ISAS[0], 1)._engine._core  # type: ignore[attr-defined]
    x = np.concatenate([np.linspace(-12, 12, 1_000_001), np.geomspace(1e-38, 1, 100_001)]).astype(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 100, -100], np.float32)
    for values in (x, special):
        y = np.empty_like(values)
        core.check(core._lib.srvq_tanh(core._handle, values.ctypes.data, y.ctypes.data, values.size))
        wanted = np.tanh(values.astype(np.float64))
        if values is x:
            error = np.abs(y - wanted) / np.maximum(np.abs(wanted), 1e-45)
            assert error.max() <= 2.5 * 2.0**-24, error.max() * 2**24
            assert (np.abs(y) <= 1).all()
        else:
            np.testing.assert_array_equal(y, wanted.astype(np.float32))


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
    weights = weights_of(minute())
    codec = Codec(weights, threads=3)
    assert codec.engine == f"native {ISAS[0]}, float32, 3 threads" and codec._engine.threads == 3
    assert Codec(weights)._engine.threads == available_cores()
    assert Codec(weights, dtype="float64").engine.startswith("torch")
    with pytest.raises(EngineError, match="float32"):
        Codec(weights, engine="native", dtype="float64")
    with pytest.raises(EngineError, match="wanted 'auto', 'native' or 'torch'"):
        make_engine(weights.config, weights.tensors, engine="gpu")
    monkeypatch.setenv("STREAMRVQ_ISA", "mmx")
    with pytest.raises(EngineError, match=r"'mmx'; this build and machine have .*portable"):
        Codec(weights, engine="native")


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
        assert a is not None and b is not None
        same_bits(b[[0, 2]], a[[0, 2]])


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
    bad = [tail[:, :-1] for tail in native._engine.export_state(native._engine.new_states(1, "encode"), 0)]
    with pytest.raises(SnapshotError):
        native._engine.import_state(native._engine.new_states(1, "encode"), 0, bad)


def test_no_second_copy_of_the_weights(tmp_path: Path) -> None:
    """A loaded codec has packed them; it reads them again for whoever asks, and notices if they are others."""
    path = tmp_path / "w.safetensors"
    Codec(weights_of(minute())).save(path)
    codec = load(path, engine="native")
    assert codec._weights is None and codec.codec_hash == weights_of(minute()).codec_hash
    for name, tensor in weights_of(minute()).tensors.items():
        same_bits(codec.weights.tensors[name], tensor)
    codec.save(tmp_path / "copy.safetensors")
    assert load(tmp_path / "copy.safetensors").codec_hash == codec.codec_hash
    Codec(weights_of(minute(), 1)).save(path)
    with pytest.raises(WeightsError, match="has changed since it was loaded"):
        codec.weights  # noqa: B018


@pytest.mark.heavy
def test_memory_is_the_packed_weights() -> None:
    """Resident after loading dac-44khz and a second of audio: at most the packed weights and 120 MB."""
    out = python(
        "import numpy as np, streamrvq\n"
        "from streamrvq.engine.native import DECODE, ENCODE\n"
        "codec = streamrvq.load('dac-44khz', engine='native')\n"
        "codec.decode(codec.encode(np.zeros(44100, np.float32)))\n"
        "sizes = [codec._engine.core.weight_bytes(what, i) for what in (ENCODE, DECODE) for i in range(99)]\n"
        "packed = sum(size for size in sizes if size > 0)\n"
        "pages = int(open('/proc/self/statm').read().split()[1])\n"
        "print(pages * 4096 - packed)"
    )
    assert int(out) <= 120e6, f"{int(out) / 1e6:.0f} MB beside the weights"


def python(code: str, **environment: str) -> str:
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, timeout=300, capture_output=True, text=True,
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


def test_many_hops_keep_memory_flat() -> None:
    """100 000 hops of a tiny codec (a million with STREAMRVQ_FULL=1), with streams coming and going."""
    codec = Codec(weights_of(minute()), engine="native", threads=1)
    block, hops = noise(8 * 500), (1_000_000 if FULL else 100_000)

    def some(count: int) -> int:
        for _ in range(count // 2500):
            stream = codec.stream()
            for _ in range(5):
                stream.push(block)
            stream.flush()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    start = some(10_000)
    assert some(hops) - start <= 4096  # KiB, of the whole test process
