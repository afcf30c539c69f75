"""The native engine's promise: the same bits however audio is cut, on any number of threads and any instruction set.

Knows: the public API, pools with neighbours of other ages, and for single layers the library itself. Its arithmetic is
compared with exact fractions here and with plain C++ loops in test_native_build.py. test_contract.py checks that it is
right to rounding.

The covering array is 500 tuples over 10 minutes of real audio; STREAMRVQ_FULL=1 makes it an hour, and the full-width
tuples 30 s each. Else they are as long as it takes for steps of the most hops, and for what is left over.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.config import PRESETS, CodecConfig
from streamrvq.families import dac
from streamrvq.geometry import Tensors
from tests.conftest import RealAudio
from tests.support.contract import (
    NO_QUANTIZER,
    NativeLayers,
    builder,
    cut,
    log_uniform,
    minute,
    needs_native,
    noise,
    streamed,
    streamed_both,
    tiny,
)
from tests.support.layers import one_layer, tensors_of
from tests.support.native import FAST, FULL, ISAS, SLOW, codec_on, same_bits

pytestmark = needs_native

# ------------------------------------------------------------------ (a) layers

KINDS = [
    *(("conv", 7, 1, dilation) for dilation in (1, 3, 9)),
    ("conv", 1, 1, 1),
    *(("conv", 2 * stride, stride, 1) for stride in (1, 2, 3, 8)),
    *(("transposed_conv", 2 * stride, stride, 1) for stride in (1, 2, 5, 8)),
    ("unit", 7, 1, 3),
]


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
            for isa, threads in [*itertools.product(FAST, (1, 2)), *((isa, 1) for isa in SLOW)]
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


@pytest.mark.parametrize("shortcut", [False, True])
def test_a_unit_has_the_same_bits_in_front_of_one_tap(shortcut: bool) -> None:
    """Weights of the first convolution are too many for a core's cache, so in steps of these rows it runs alone. The
    second could run with the convolution after the unit, as each step of many rows runs two."""
    build = builder(minute(causal=True), 48, 1)
    build.hold("u")
    build.conv("a", Tensors("a.weight", "a.bias"), 40, 72)
    build.conv("b", Tensors("b.weight", "b.bias"), 48, 1)
    build.join("u", Tensors("u.weight", "u.bias") if shortcut else None)
    build.conv("c", Tensors("c.weight", "c.bias"), 5, 1)
    plan = build.plan("encode", NO_QUANTIZER)
    tensors, x = tensors_of(plan, False), noise(48 * 32).reshape(48, -1)
    for isa, threads in itertools.product(ISAS, (1, 2)):
        runner = NativeLayers(minute(causal=True), plan, tensors, "float32", isa=isa, threads=threads)
        single = [runner.step(x[:, i : i + 1], i, -1) for i in range(32)]
        runner._states.data[:] = 0
        same_bits(runner.step(x, 0, -1), np.concatenate(single, axis=1), f"{isa}, {threads} threads")


def test_a_chain_is_that_of_the_design() -> None:
    """bias, then tap by tap and channel by channel one fused multiply-add: in exact fractions, rounded once each."""

    def fma(x: np.float32, w: np.float32, total: np.float32) -> np.float32:
        return rounded(Fraction(float(x)) * Fraction(float(w)) + Fraction(float(total)))

    build = builder(minute(causal=True), 6, 1)
    dac.conv(build, "l", 3, 7, dilation=3)
    plan = build.plan("encode", NO_QUANTIZER)
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
    pool = codec.pool(slots=batch, direction=direction)
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


@pytest.mark.parametrize("isa", SLOW)
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_portable_path_has_the_same_bits(real_audio: RealAudio, is_causal: bool, isa: str) -> None:
    codec = codec_on(tiny(causal=is_causal), isa, 2)
    for c, batch, direction in ((3, 1, "encode"), (24, 2, "encode"), (5, 1, "decode"), (23, 3, "decode")):
        check_tuple(real_audio, codec, c, c, batch, direction, 0.4)


def check_tuple(audio: RealAudio, codec: Codec, c: int, e: int, batch: int, direction: str, seconds: float) -> None:
    codes, latents, samples = offline(audio, codec.config, e, seconds)
    kind = "causal" if codec.config.causal else "symmetric"
    why = f"{codec.engine.description}, {kind}, chunking {c}, excerpt {e}, {batch} streams"
    pcm = excerpt(audio, e, seconds)
    if direction == "encode":
        if batch == 1:
            same_bits(streamed(codec.stream(), pcm, sizes_of(c, 20_000)), codes, why)
            both = streamed_both(codec, pcm, sizes_of(c, 20_000), "pad")
            same_bits(both[0], codes, why)
            same_bits(both[1], latents, why)
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
    """12 tuples of 30 s (1 s, unless STREAMRVQ_FULL=1: two steps of the most hops, and a part of a third).

    Where steps have ten hops at most, that is 0.3 s.
    """
    config = PRESETS[preset]
    choices = zip(
        itertools.cycle([1, 2]), itertools.cycle(FAST), [1, 1, 2, 1, 3, 1, 2, 1, 1, 2, 1, 1],
        [0, 3, 5, 6, 9, 12, 13, 16, 17, 20, 23, 24], ["encode", "decode", "encode"] * 4, strict=False,
    )  # fmt: skip
    for threads, isa, batch, chunking, direction in choices:
        if CHUNKINGS[chunking] == 1:
            chunking = 2  # a push a sample is tested on the tiny codec
        size = next(sizes_of(chunking, 20_000 if direction == "encode" else 40))
        hops = size / config.hop_length if direction == "encode" else size
        short = CHUNKINGS[chunking] and hops <= 10
        seconds = 30.0 if FULL else 0.3 if short else 1.0
        check_tuple(real_audio, codec_on(config, isa, threads), chunking, 6, batch, direction, seconds)


# ------------------------------------------------------------- functions
