"""What streams of EnCodec and Mimi hold: the state of their geometry and little more, however long they run.

Knows: the native engine, whose state is a numpy array. Does not know: what the service holds for a client.
"""

from __future__ import annotations

import resource
import tracemalloc
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.families import plan
from streamrvq.geometry import Direction
from tests.families.pairs import FAMILIES, pair
from tests.reference.spread import music
from tests.support.contract import needs_native

pytestmark = needs_native

DIRECTIONS: list[Direction] = ["encode", "decode"]


def opened(codec: Codec, direction: Direction) -> Any:
    return codec.stream() if direction == "encode" else codec.decoder_stream()


def inputs(codec: Codec, direction: Direction, hops: int) -> Any:
    if direction == "encode":
        return music(hops * codec.hop_length)
    return np.random.default_rng(0).integers(0, codec.config.codebook_size, (codec.n_codebooks, hops))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_stream_holds_its_state_and_64_kib(name: str, direction: Direction) -> None:
    """Mimi's window of 250 positions included. A stream also keeps what its last step took and gave: here one hop's."""
    codec = load(pair(name).folder, engine="native", threads=1)
    state, hop = 4 * plan(codec.config, direction).state_size, inputs(codec, direction, 1)
    opened(codec, direction).push(hop)  # what is made once
    tracemalloc.start()
    try:
        streams = [opened(codec, direction) for _ in range(20)]
        for stream in streams:
            for _ in range(9):
                stream.push(hop)
        each = tracemalloc.get_traced_memory()[0] / len(streams)
    finally:
        tracemalloc.stop()
    assert state <= each <= state + 65536


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_many_hops_keep_memory_flat(name: str, direction: Direction) -> None:
    """60 000 hops in four streams and many pushes each."""
    codec = load(pair(name, "minute").folder, engine="native", threads=1)
    block = inputs(codec, direction, 500)

    def some(streams: int) -> int:
        for _ in range(streams):
            stream = opened(codec, direction)
            for _ in range(30):
                stream.push(block)
            stream.flush()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    start = some(1)
    assert some(4) - start <= 2048  # KiB, of the whole test process
