"""What bounds a hop and a bulk run of ours: its weights beside the measured memory, its arithmetic beside the peak.

Knows: a step's operations and bytes as `streamrvq bench` counts them, for the levels that are asked for. Does not know:
how steps are timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from streamrvq import Codec
from streamrvq.bench.machine import Machine
from streamrvq.bench.steps import gbytes_per_step, gflop_per_hop

from .rows import Row, Way


def work(codec: Codec, way: Way, levels: int) -> tuple[float, float]:
    """10⁹ operations of a hop, and 10⁹ bytes of weights that a step reads. A missing level's entries are not read."""
    config = codec.config
    levels_left = config.n_codebooks - levels if way == "encode" else 0
    unread = levels_left * config.codebook_size * config.codebook_dim
    return gflop_per_hop(config, way) - 2e-9 * unread, gbytes_per_step(codec.engine, way) - 4e-9 * unread


def lines(codec: Codec, machine: Machine, rows: Sequence[Row], hops: int, levels: int) -> list[str]:
    """A sentence for each of our rows. ``hops``: in the audio of a row."""
    found = [
        f"This machine, {machine.threads} threads: {machine.gflops:.0f} GFLOP/s in registers, "
        f"{machine.gbytes:.1f} GB/s read."
    ]
    for row in rows:
        gflop, gbytes = work(codec, row.way, levels)
        hop = 1e3 * median(row.seconds) / hops
        memory, arithmetic = 1e3 * gbytes / machine.gbytes, 1e3 * gflop / machine.gflops
        if row.mode == "in bulk":
            found.append(f"{row.way}, in bulk: {hop:.2f} ms a hop; {arithmetic / hop:.0%} of the peak of arithmetic.")
            continue
        bound, share = ("memory", memory / hop) if memory >= arithmetic else ("arithmetic", arithmetic / hop)
        found.append(
            f"{row.way}, hop by hop: {hop:.2f} ms. {1e3 * gbytes:.0f} MB of weights take {memory:.2f} ms to read, "
            f"{gflop:.3f} GFLOP take {arithmetic:.2f} ms: {bound} bounds a hop, at {share:.0%} of that bound; "
            f"one after the other they would be {(memory + arithmetic) / hop:.0%}."
        )
    return found
