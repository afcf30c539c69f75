"""What streams of EnCodec and Mimi hold: the state of their geometry and little more, however long they run.

Knows: the native engine, whose state is a numpy array. Does not know: what the service holds for a client.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.families import plan
from streamrvq.geometry import Direction
from tests.families.pairs import FAMILIES, pair
from tests.reference.spread import music
from tests.support.contract import needs_native
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.processes.children import needs_proc

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


@needs_proc
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_many_hops_keep_memory_flat(name: str, direction: Direction, tmp_path: Path) -> None:
    """60 000 hops in four streams and many pushes each.

    In a process of its own: memory that other tests had and gave back would hide what grows.
    """
    folder = pair(name, "minute").folder
    np.save(tmp_path / "block.npy", inputs(load(folder, engine="native", threads=1), direction, 500))
    code = (
        "import sys, numpy as np, streamrvq\n"
        "codec, block = streamrvq.load(sys.argv[1], engine='native', threads=1), np.load(sys.argv[2])\n"
        "def some(streams):\n"
        "    for _ in range(streams):\n"
        "        stream = codec.stream() if sys.argv[3] == 'encode' else codec.decoder_stream()\n"
        "        for _ in range(30): stream.push(block)\n"
        "        stream.flush()\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "start = some(1)\n"
        "print(some(4) - start)"
    )
    arguments = [str(folder), str(tmp_path / "block.npy"), direction]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment,
                          timeout=2 * PATIENCE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 2048  # KiB
