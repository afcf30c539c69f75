"""How fast a codec is on this machine: streaming steps, compared with the machine's limits and the official model.

Everything is measured in rounds, with every cell and the official model once in each round. So if the machine slows
down or speeds up, it does so for all of them.

Knows: the order of measuring. Does not know: how a step is timed (steps.py), what a machine can do (machine.py), what
the official model is (official.py), tables or JSON (cli/bench.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from ..codec import Codec
from ..errors import InputError
from ..geometry import Direction
from ..system.foreign_data import shown
from .layers import LayerTime, layer_times
from .machine import Machine, measure_for, measure_machine
from .official import Official, OfficialModel
from .steps import Cell, Timed, summarise

__all__ = ["HOPS", "ROWS", "LayerTime", "Machine", "Official", "Report", "Timed", "measure_machine", "run_bench"]

HOPS = (1, 2, 4, 8, 16)  #: hops in a step
ROWS = (1, 4, 16)  #: streams in a step
_MOST_OFFICIAL = 3600  #: seconds of audio: they are encoded in one piece


@dataclasses.dataclass(frozen=True)
class Report:
    """What `run_bench` measured.

    Attributes:
        machine: its limits with the engine's threads; None: the engine does not compute on the CPU.
        encode, decode: one `Timed` for each (hops, rows); ``decode`` is empty unless asked for.
        official: the official model offline, or None with the reason in ``official_skipped``.
        rounds: how many times everything was measured.
        paced: whether steps were as far apart as those of a live stream.
        layers: the native engine's layers in the smallest step of each direction, if they were asked for.
    """

    machine: Machine | None
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
    """Measure a codec.

    Args:
        codec: what to measure, with its engine and threads.
        hops, rows: every combination of the two is a cell.
        decode: measure the decoder too.
        official: measure the official model of the same shape too.
        seconds: wall time for each cell over all rounds. Slow steps take longer: a round has at least two.
        rounds: how many; see the head of this file.
        official_seconds: seconds of audio that the official model encodes in each round.
        layers: measure the native engine's layers one by one too; other engines have none.
        paced: pause between steps, so that they are as far apart as those of a live stream.
        progress: called with a line about what runs next.

    Raises:
        InputError: a setting is too small.
    """
    for name, values in (("hops", hops), ("batch", rows)):
        if not values or min(values) < 1:
            raise InputError(f"{name} is {shown(list(values))}; wanted whole numbers of at least 1, such as 1,4,16")
    if rounds < 1 or not 0 < seconds < math.inf:
        raise InputError(f"{shown(rounds)} rounds of {shown(seconds)} s; wanted at least one round and some time")
    if not 0 < official_seconds <= _MOST_OFFICIAL:
        raise InputError(
            f"official_seconds is {shown(official_seconds)}; wanted more than 0, and at most {_MOST_OFFICIAL}"
        )
    tell = progress or (lambda what: None)
    engine = codec.engine
    tell("machine")
    machine = measure_for(engine)
    directions: tuple[Direction, ...] = ("encode", "decode") if decode else ("encode",)
    cells = [Cell(engine, direction, k, b, paced) for direction in directions for b in rows for k in hops]
    model, skipped = None, None if official else "not asked for"
    if official and machine is None:
        skipped = "it would run on the CPU, and this engine does not"
    elif official:
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
