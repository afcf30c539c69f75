"""How fast is a codec on this machine: streaming steps, beside the machine's own limits and the official model.

Knows: the order of measuring. Everything is measured in rounds, every cell and the official model once a round, so that
a machine that slows down or speeds up meanwhile does so for all of them. Does not know: how a step is timed (steps.py),
what a machine can do (machine.py), what the official model is (official.py), tables or JSON (cli/bench.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..codec import Codec
from ..errors import InputError
from ..geometry import Direction
from .layers import LayerTime, layer_times
from .machine import Machine, measure_for, measure_machine
from .official import Official, OfficialModel
from .steps import Cell, Timed, summarise

__all__ = ["HOPS", "ROWS", "LayerTime", "Machine", "Official", "Report", "Timed", "measure_machine", "run_bench"]

HOPS = (1, 2, 4, 8, 16)  #: hops a step
ROWS = (1, 4, 16)  #: streams a step


@dataclasses.dataclass(frozen=True)
class Report:
    """What `run_bench` measured.

    Attributes:
        machine: its peak and bandwidth with the engine's threads.
        encode, decode: one `Timed` for each (hops, rows); ``decode`` is empty unless asked for.
        official: the official model offline, or None with the reason in ``official_skipped``.
        rounds: how many times everything was measured.
        paced: whether steps were as far apart as a live stream's.
        layers: the native engine's layers, for the smallest step of each direction, where they were asked for.
    """

    machine: Machine
    encode: tuple[Timed, ...]
    decode: tuple[Timed, ...]
    official: Official | None
    official_skipped: str | None
    rounds: int
    paced: bool = False
    layers: tuple[LayerTime, ...] = ()


def run_bench(
    codec: Codec,
    *,
    hops: Sequence[int] = HOPS,
    rows: Sequence[int] = ROWS,
    decode: bool = False,
    official: bool = True,
    seconds: float = 2.0,
    rounds: int = 3,
    official_seconds: float = 5.0,
    layers: bool = False,
    paced: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure.

    Args:
        codec: what to measure, with its engine and threads.
        hops, rows: each of the first with each of the second is a cell.
        decode: the decoder too.
        official: the official model of the same shape too.
        seconds: wall time for each cell, over all rounds; slow steps take longer, for a round has two at least.
        rounds: see the head of this file.
        official_seconds: of audio, that the official model is given a round.
        layers: the native engine's layers one by one too (nothing of another engine's).
        paced: steps follow each other as those of a live stream do, with pauses between.
        progress: called with what is about to run.

    Raises:
        InputError: a setting below its least.
    """
    for name, values in (("hops", hops), ("batch", rows)):
        if not values or min(values) < 1:
            raise InputError(f"{name} is {list(values)}; wanted whole numbers of at least 1, such as 1,4,16")
    if rounds < 1 or seconds <= 0 or official_seconds <= 0:
        raise InputError(f"{rounds} rounds of {seconds:g} s; wanted at least one round and some time")
    tell = progress or (lambda what: None)
    engine = codec.engine
    tell("machine")
    machine = measure_for(engine)
    directions: tuple[Direction, ...] = ("encode", "decode") if decode else ("encode",)
    cells = [Cell(engine, direction, k, b, paced) for direction in directions for b in rows for k in hops]
    model, skipped = None, None if official else "not asked for"
    if official:
        tell("official model")
        model, skipped = OfficialModel.make(codec.config, official_seconds, engine.threads, decode=decode)
    for number in range(1, rounds + 1):
        if model is not None:
            tell(f"round {number} of {rounds}: {model.name}, offline")
            model.run()
        for cell in cells:
            tell(f"round {number} of {rounds}: {cell.direction}, {cell.rows} × {cell.hops} hops")
            cell.run(seconds / rounds)
    timed = [summarise(cell, machine) for cell in cells]
    return Report(
        machine=machine,
        encode=tuple(t for t in timed if t.direction == "encode"),
        decode=tuple(t for t in timed if t.direction == "decode"),
        official=None if model is None else model.result(),
        official_skipped=skipped,
        rounds=rounds,
        paced=paced,
        layers=tuple(layer_times(engine, cells)) if layers else (),
    )
