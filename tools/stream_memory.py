"""``tools/memory``: what a stream of each family holds, and that it does not grow over a million hops.

What it holds is counted as Python counts it: twenty streams that have had a few hops, divided by twenty. That they do
not grow is seen in the resident memory of the process, from a hundredth of the hops on.

Knows: tiny codecs with seeded weights on the native engine, without torch. Does not know: what the service holds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamrvq import Codec
from streamrvq.config import CodecConfig, Config
from streamrvq.families import plan
from streamrvq.families.encodec import EncodecConfig
from streamrvq.families.mimi import MimiConfig
from streamrvq.geometry import Direction
from streamrvq.weights.seeded import seeded

from .ending import ended

#: Mimi's window is the released one, 250 positions; widths and strides are small.
CODECS: dict[str, Config] = {
    "DAC": CodecConfig(
        encoder_dim=2, encoder_rates=(2, 4), decoder_dim=4, decoder_rates=(4, 2), latent_dim=6, n_codebooks=3,
        codebook_size=64, codebook_dim=3,
    ),
    "EnCodec": EncodecConfig(
        num_filters=2, hidden_size=6, codebook_dim=6, upsampling_ratios=(4, 2), codebook_size=64, n_codebooks=3
    ),
    "Mimi": MimiConfig(
        num_filters=2, hidden_size=32, num_hidden_layers=2, num_attention_heads=8, head_dim=4, intermediate_size=64,
        upsample_groups=32, upsampling_ratios=(2, 2), codebook_dim=16, codebook_size=64, n_codebooks=3,
    ),
}  # fmt: skip
DIRECTIONS: tuple[Direction, ...] = ("encode", "decode")
#: What a stream may hold beside its state, and how much the process may grow: bytes.
SPARE, GROWTH = 64 << 10, 64 << 10
STATM = Path("/proc/self/statm")  #: how much of this process is in memory (Linux)


def opened(codec: Codec, direction: Direction) -> Any:
    """A new stream."""
    return codec.stream() if direction == "encode" else codec.decoder_stream()


def inputs(codec: Codec, direction: Direction, hops: int) -> Any:
    """Noise ``[n]`` or random codes ``[K, hops]``."""
    random = np.random.default_rng(0)
    if direction == "encode":
        return (0.1 * random.standard_normal(hops * codec.hop_length)).astype(np.float32)
    return random.integers(0, codec.config.codebook_size, (codec.n_codebooks, hops))


def held(codec: Codec, direction: Direction, streams: int = 20) -> int:
    """Bytes of a stream that takes a hop at a time, its last hop's included."""
    hop = inputs(codec, direction, 1)
    opened(codec, direction).push(hop)  # what is made once
    tracemalloc.start()
    try:
        kept = [opened(codec, direction) for _ in range(streams)]
        for stream in kept:
            for _ in range(9):
                stream.push(hop)
        return tracemalloc.get_traced_memory()[0] // streams
    finally:
        tracemalloc.stop()


def resident() -> int:
    """Bytes of this process that are in memory, now."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown(codec: Codec, direction: Direction, marks: Sequence[int], push: int) -> Iterator[int]:
    """Bytes in memory once one stream has had each of ``marks`` hops, ``push`` hops at a time."""
    stream, block, done = opened(codec, direction), inputs(codec, direction, push), 0
    for mark in marks:
        while done < mark:
            stream.push(block)
            done += push
        yield resident()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 1 if a stream holds too much or grows."""
    parser = argparse.ArgumentParser(prog="tools/memory", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--hops", type=int, default=1_000_000, help="of a stream (default: %(default)s)")
    parser.add_argument("--push", type=int, default=10, help="hops at a time (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.hops < 100 or not 1 <= options.push <= options.hops:
        parser.error(
            f"--hops {options.hops} --push {options.push}; wanted at least 100 hops, and 1 to all of them at a time"
        )
    if not STATM.exists():
        parser.error(f"{STATM} is not here, which says how much memory this takes; wanted Linux")
    # Whole pushes, so that each row says after how many hops it is.
    wanted = (options.hops // 100, options.hops // 10, options.hops)
    marks = [-(-hops // options.push) * options.push for hops in wanted]
    failed = False
    print("| codec | | state, KiB | a stream, KiB |", *(f"MiB at {mark} hops |" for mark in marks), "grown, KiB |")
    print("|", " --- |" * (5 + len(marks)), sep="")
    for name, config in CODECS.items():
        codec = Codec(seeded(config), engine="native", threads=1)
        for direction in DIRECTIONS:
            state, stream = 4 * plan(config, direction).state_size, held(codec, direction)
            sizes = list(grown(codec, direction, marks, options.push))
            growth = sizes[-1] - sizes[0]
            print(
                f"| {name} | {direction} | {state / 1024:.1f} | {stream / 1024:.1f} |",
                *(f"{size / 2**20:.2f} |" for size in sizes),
                f"{growth / 1024:.0f} |",
                flush=True,
            )
            if not state <= stream <= state + SPARE:
                print(
                    f"{name}, {direction}: a stream holds {stream} bytes; wanted at most {state + SPARE}",
                    file=sys.stderr,
                )
                failed = True
            if growth > GROWTH:
                print(f"{name}, {direction}: grew by {growth} bytes; wanted at most {GROWTH}", file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == "__main__":
    ended(main)
