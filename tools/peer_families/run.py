"""Times a family's rows round by round, and prints its tables.

Knows: the order. Does not know: how anything is called.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from streamrvq.bench.machine import Machine, measure_for
from streamrvq.codec import load

from . import encodec, mimi, ours
from .limits import lines
from .models import make
from .rows import bars_table, times_table

FAMILIES: dict[str, Any] = {"encodec": encodec, "mimi": mimi}


def measure(name: str, samples: Any, rounds: int, threads: int) -> str:
    """The tables of a family, of samples ``[n]`` at 24 kHz; what is not a whole hop is left out."""
    family = FAMILIES[name]
    pcm = samples[: len(samples) // family.HOP * family.HOP]
    with torch.inference_mode(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # theirs, not ours
        model, own, package = make(name, Path(folder))
        codec = load(own, engine="native", threads=threads)
        codes = codec.encode(pcm, n_quantizers=family.LEVELS)
        mine = ours.rows(codec, pcm, codes)
        rows = mine + family.peers(model, package, pcm, codes)
        for row in rows:  # once uncounted: caches, memory, lazy imports
            if row.run is not None:
                row.run()
        machine = _machine(codec)
        for number in range(rounds):
            print(f"{name}, round {number + 1} of {rounds}", file=sys.stderr)
            for row in rows:
                row.turn()
            machine = _faster(machine, _machine(codec))
    audio = len(pcm) / codec.sample_rate
    text = [
        times_table(rows, audio),
        f"Medians of {rounds} rounds, {audio:g} s of audio, {family.LEVELS} levels, {threads} threads. All have the "
        "same random weights of the released sizes.",
        bars_table(rows, family.BARS),
        "How often our time goes into the fastest peer's: the median of the rounds' ratios.",
        *lines(codec, machine, mine, codes.shape[1], family.LEVELS),
    ]
    return "\n\n".join(text)


def _machine(codec: Any) -> Machine:
    machine = measure_for(codec.engine)
    if machine is None:
        raise RuntimeError("the native engine computes on the CPU; measure_for said that it does not")
    return machine


def _faster(one: Machine, other: Machine) -> Machine:
    """The greater limits of two measurements: others' work can only lower them."""
    return dataclasses.replace(one, gflops=max(one.gflops, other.gflops), gbytes=max(one.gbytes, other.gbytes))
