"""What Python and the kernels have to say in the same way: structs, tiles, names, sizes of shared memory.

Knows: the headers, compiled for the CPU. Does not know: what kernels compute.
"""

from __future__ import annotations

import re
from ctypes import sizeof

import pytest

from streamrvq.engine import lacking
from streamrvq.engine.cuda import quantizer, resident
from streamrvq.engine.cuda.layers import FEW_THREADS, QUERIES, STREAMS, THREADS
from streamrvq.engine.cuda.layout import HEADER
from streamrvq.engine.cuda.program import EDGE_THREADS
from streamrvq.engine.cuda.structs import STRUCTS
from streamrvq.engine.cuda.tiles import SHARED, Tile, choose, tiles
from streamrvq.errors import EngineError
from tests.support.contract import CUDA
from tests.support.cuda.emulated import KERNELS, emulated_device

needs_emulator = pytest.mark.skipif(not CUDA, reason="the kernels cannot be compiled here")


def source(name: str) -> str:
    return (KERNELS / name).read_text(encoding="utf-8")


@needs_emulator
@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_is_as_large_as_the_kernels_have_it(name: str) -> None:
    assert emulated_device().library.emulate_size(name.encode()) == sizeof(STRUCTS[name])


def test_a_request_fits_before_what_it_holds() -> None:
    assert sizeof(STRUCTS["Request"]) <= HEADER


@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_has_the_fields_of_its_header(name: str) -> None:
    """In the same order, under the same names; constants[3] is a, b, c."""
    every = "\n".join(source(path.name) for path in KERNELS.glob("*.cuh"))
    found = re.search(rf"^struct {name} {{\n(.*?)^}};", every, re.MULTILINE | re.DOTALL)
    assert found is not None
    plain = re.sub(r"//.*", "", found.group(1)).replace("constants[3]", "a, b, c")
    fields = [field for line in plain.split(";") for field in re.findall(r"(\w+)\s*(?:,|$)", line.strip())]
    assert fields == [field.removesuffix("_") for field, *_ in STRUCTS[name]._fields_]


def test_threads_of_a_block() -> None:
    kernels = source("kernels.cu")
    threads = dict(re.findall(r"BOUNDS\((\d+), \d+\) (\w+)\(", kernels))
    found = {name: int(number) for number, name in threads.items()} | {
        name: int(number) for number, name in re.findall(r"BOUNDS\((\d+), \d+\) (\w+)\(", kernels)
    }
    assert found.pop("edges") == EDGE_THREADS
    assert found.pop("column") == resident.COLUMN_THREADS
    assert {found.pop(name) for name in ("attend", "lstm_1", "lstm_8")} == {FEW_THREADS}
    assert set(found.values()) == {THREADS, quantizer.THREADS}
    assert f"attend_block<{FEW_THREADS}, {QUERIES}>" in kernels
    assert f"lstm_block<{STREAMS}, {FEW_THREADS}>" in kernels
    assert f"SLABS = {quantizer.SLABS}" in source("quantise.cuh")


def test_activations_have_the_same_numbers() -> None:
    listed = re.search(r"enum Activation {(.*?)}", source("activations.cuh"))
    assert listed is not None
    numbers = {name.upper(): int(value) for name, value in re.findall(r"k(\w+) = (\d+)", listed.group(1))}
    assert numbers == {activation.name: activation.value for activation in lacking.CUDA.activations}


@pytest.mark.parametrize("tile", tiles(), ids=lambda tile: tile.name)
def test_a_tile_fits_every_card(tile: Tile) -> None:
    assert tile.shared <= SHARED
    assert tile.threads <= 1024
    assert tile.lm * tile.ln == 32
    assert tile.vector in (1, 4)


def test_every_layer_has_a_tile() -> None:
    for depth in range(1, 200):
        for aligned in (False, True):
            assert choose(100, 7, 1, depth, aligned, 132).fits(depth, aligned)
    assert choose(1 << 20, 512, 1, 512, True, 132).rows >= 64, "much work takes large tiles"
    assert choose(8, 512, 1, 512, True, 132).rows <= 32, "few rows take small ones"
    with pytest.raises(EngineError, match=r"no tile computes taps of 5 numbers; kernels/tiles\.inc needs one"):
        choose(1, 1, 1, 5, False, 132, among=[tile for tile in tiles() if tile.vector == 4])
