"""Bits: whole codecs, every tile, and streams that move between GPU and CPU, against the native engine.

Knows: cases and their hashes. Does not know: times.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any
from unittest.mock import patch

from streamrvq.engine.base import Engine
from streamrvq.engine.cuda import products
from streamrvq.engine.cuda.tiles import Tile, choose, tiles

from . import expected
from .cases import (
    CODECS,
    FAMILIES,
    FULL,
    FULL_FAMILIES,
    SMALL,
    Case,
    Streams,
    answers,
    cases,
    digest,
    state_digest,
)
from .context import Context


def codecs(context: Context) -> None:
    """Every step of every case: codes, latents, samples, and at the end states and hop counts."""
    hashes, device = context.hashes(), context.open()
    for codec in context.codecs((*SMALL, *FAMILIES, *FULL, *FULL_FAMILIES)):
        known = hashes["codecs"].get(codec.name)
        if known is None:
            context.say(f"{codec.name}: no hashes in the file", left_out=codec.name)
            continue
        begin = time.perf_counter()
        if known["weights"] != expected.weights_digest(codec):
            context.say(f"{codec.name}: the weights are not those of the file", wrong=True, codec=codec.name)
            continue
        engine, bad, steps, row_hops = context.engine(codec, device), list[str](), 0, 0
        for case, wanted in expected.cases_of(hashes, codec):
            if context.left < 2:
                context.say(f"{codec.name}: no time left for {case.name}", left_out=case.name)
                break
            got = expected.folded(answers(engine, case))
            steps, row_hops = steps + case.steps, row_hops + case.row_hops
            if got != wanted:
                first = next(i for i, (a, b) in enumerate(zip(got, wanted, strict=True)) if a != b)
                at = "the states" if first + 1 == len(got) else f"step {first * -(-case.steps // 8)}"
                bad.append(f"{case.name} from {at} on")
        seconds = row_hops * codec.config.hop_length / codec.config.sample_rate
        context.say(
            f"{codec.name}: {steps} steps, {seconds:.1f} s of audio, {time.perf_counter() - begin:.1f} s: "
            + ("same bits" if not bad else f"other bits: {'; '.join(bad[:6])}"),
            wrong=bool(bad), codec=codec.name, steps=steps, audio_seconds=seconds, differ=bad,
        )  # fmt: skip


def every_tile(context: Context) -> None:
    """Each tile, wherever it fits, in small codecs of all kinds of layers. One that fits nowhere was not checked."""
    hashes, device = context.hashes(), context.open()
    everywhere = {tile.name: 0 for tile in tiles()}
    for codec in context.codecs((*SMALL[:4], *FAMILIES[:2])):
        some = [(case, wanted) for case, wanted in expected.cases_of(hashes, codec) if case.rows * case.hops > 20]
        if not some:
            context.say(f"{codec.name}: no hashes of large steps in the file", left_out=codec.name)
            continue
        for tile in tiles():
            if context.left < 2:
                context.say(f"{codec.name}: no time left for {tile.name}", left_out=f"{codec.name} {tile.name}")
                continue
            used = Counter[tuple[int, ...]]()
            with patch.object(products, "choose", taking(tile, used)):
                engine = context.engine(codec, device)
                bad = [case.name for case, wanted in some if expected.folded(answers(engine, case)) != wanted]
            everywhere[tile.name] += len(used)
            same = "same bits" if used else "the same bits without it"
            context.say(
                f"{codec.name:12} {tile.name:10} in {len(used):3} kinds of layers, {len(some)} cases: "
                + (same if not bad else f"other bits: {', '.join(bad)}"),
                wrong=bool(bad), codec=codec.name, tile=tile.name, layers=len(used), cases=len(some), differ=bad,
            )  # fmt: skip
    if unused := [name for name, layers in everywhere.items() if not layers]:
        context.say(f"in no layer of these codecs: {', '.join(unused)}", left_out=", ".join(unused))


def taking(tile: Tile, used: Counter[tuple[int, ...]]) -> Any:
    """`tiles.choose`, but this tile wherever it fits. ``used`` counts the layers."""

    def chosen(
        rows: int, columns: int, taps: int, depth: int, aligned: bool, multiprocessors: int, joined: bool = False,
        *, more: bool = False,
    ) -> Tile:  # fmt: skip
        if not tile.fits(depth, aligned) or (more and not tile.more):
            return choose(rows, columns, taps, depth, aligned, multiprocessors, joined, more=more)
        used[columns, taps, depth, int(aligned)] += 1
        return tile

    return chosen


def moves(context: Context) -> None:
    """Streams that change between GPU and CPU after every other step give what the CPU alone gives."""
    from streamrvq.engine.native import NativeEngine

    device = context.open()
    usual = [CODECS[name] for name in ("even", "odd", "even-encodec", "even-mimi", "causal-44khz", "dac-44khz")]
    for codec in context.codecs(usual):
        tensors = codec.weights().tensors
        native = NativeEngine(codec.config, tensors, threads=None)
        card = context.engine(codec, device)
        for direction in ("encode", "decode"):
            case = Case(codec, direction, 5, 2, 8)
            bad = moved(case, native, card)
            context.say(
                f"{codec.name} {direction}: {case.steps} steps of {case.rows} streams, moved 4 times: "
                + ("same bits" if not bad else f"other bits at steps {bad}"),
                wrong=bool(bad), codec=codec.name, direction=direction, differ=bad,
            )  # fmt: skip


def moved(case: Case, native: Engine, card: Engine) -> list[int]:
    """The steps at which a case differs that changes engines after every other step."""
    streams = Streams(case)
    alone, here, there = streams.begin(native), streams.begin(card), streams.begin(native)
    engines, states, bad = (card, native), [here, there], []
    for step in range(case.steps):
        now = step // 2 % 2
        if step and step % 2 == 0:
            for slot, clock in zip(streams.slots.tolist(), streams.clock.tolist(), strict=True):
                histories = engines[1 - now].export_state(states[1 - now], slot)
                engines[now].import_state(states[now], slot, histories, clock)
        inputs = streams.inputs()
        wanted = streams.step(native, alone, inputs)
        if digest(streams.step(engines[now], states[now], inputs)) != digest(wanted):
            bad.append(step)
        streams.advance()
    return bad


def long(context: Context) -> None:
    """Card beside CPU: every case of a codec for 30 s of audio, as far as there is time for the CPU's part."""
    from streamrvq.engine.native import NativeEngine

    device = context.open()
    for codec in context.codecs([CODECS["dac-44khz"]]):
        native = NativeEngine(codec.config, codec.weights().tensors, threads=None)
        card = context.engine(codec, device)
        for case in cases(codec, 30 / codec.seconds):
            steps, bad = beside(case, native, card, context)
            seconds = case.rows * case.hops * steps * codec.config.hop_length / codec.config.sample_rate
            context.say(
                f"{case.name}: {steps} of {case.steps} steps, {seconds:.1f} s of audio: "
                + ("same bits" if not bad else f"other bits at steps {bad[:6]}"),
                wrong=bool(bad), case=case.name, steps=steps, audio_seconds=seconds, differ=bad,
            )  # fmt: skip
            if steps < case.steps:
                context.say("no time left for the other cases", left_out=f"after {case.name}")
                break


def beside(case: Case, native: Engine, card: Engine, context: Context) -> tuple[int, list[int]]:
    """How many steps of a case there was time for, and those at which engines differ; −1: their states at the end."""
    streams, bad = Streams(case), list[int]()
    wanted, states = streams.begin(native), streams.begin(card)
    for step in range(case.steps):
        if context.left < 2:
            return step, bad
        inputs = streams.inputs()
        if digest(streams.step(card, states, inputs)) != digest(streams.step(native, wanted, inputs)):
            bad.append(step)
        streams.advance()
    if state_digest(card, states, streams) != state_digest(native, wanted, streams):
        bad.append(-1)
    return case.steps, bad


def small_steps(context: Context) -> None:
    """A few small steps, for compute-sanitizer to look at."""
    device = context.open()
    for codec in context.codecs((SMALL[0], SMALL[2], *FAMILIES[:2])):
        engine = context.engine(codec, device)
        for direction in ("encode", "decode"):
            hops = max(2, engine.new_states(1, direction).plan.first)
            found = answers(engine, Case(codec, direction, 3, hops, 1))
            context.say(f"{codec.name} {direction}: {found[0]}", codec=codec.name)
