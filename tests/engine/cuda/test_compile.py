"""The kernels compile for every generation of GPUs, without spills, within its limits, and with the right options.

Knows: NVRTC, which needs neither a GPU nor a driver. Does not know: what the kernels compute.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamrvq.engine.cuda import compile as compiling
from streamrvq.engine.cuda.quantizer import SHARED as QUANTISER_SHARED
from streamrvq.engine.cuda.tiles import tiles
from streamrvq.errors import EngineError
from tests.support.cuda.compiled import said

pytest.importorskip("cuda.core", reason="needs the extra [cuda]")

#: Bytes of shared memory that a block may ask for.
SHARED_MEMORY = {
    "sm_80": 163 << 10, "sm_86": 99 << 10, "sm_87": 163 << 10, "sm_89": 99 << 10, "sm_90": 227 << 10,
    "sm_100": 227 << 10, "sm_103": 227 << 10, "sm_120": 99 << 10, "sm_121": 99 << 10,
}  # fmt: skip
#: One GPU of each generation since Ampere: A100, RTX 40, H100, B200, RTX 50.
ARCHITECTURES = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120")
REGISTERS = 65536  #: of a multiprocessor, on all of them
SOURCE = 'extern "C" __global__ void twice(const float *x, float *y) { *y = *x * {factor}; }\n'


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(path: Path, factor: str = "2.0f") -> Path:
    folder = path / "kernels"
    folder.mkdir(exist_ok=True)
    (folder / "kernels.cu").write_text('#include "twice.cuh"\n')
    (folder / "twice.cuh").write_text(SOURCE.replace("{factor}", factor))
    return folder


def usage(log: str) -> dict[str, tuple[int, int, int]]:
    """What ptxas says of each kernel: registers, spilled bytes, static shared memory."""
    found = {}
    for kernel, text in re.findall(r"Compiling entry function '(\w+)'(.*?)Compile time", log, re.DOTALL):
        registers = re.search(r"Used (\d+) registers", text)
        shared = re.search(r"(\d+) bytes smem", text)
        spilled = sum(int(number) for number in re.findall(r"(\d+) bytes (?:stack frame|spill)", text))
        assert registers
        found[kernel] = int(registers[1]), spilled, int(shared[1]) if shared else 0
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_kernels_compile_within_the_limits(architecture: str) -> None:
    found = usage("".join(said(architecture, part) for part in compiling.PARTS))
    others = {"quantise_8", "embed", "move", "edges", "column", "fill", "attend", "lstm_8", "nearest_8", "norm_rows"}
    more = {tile.kernel_more for tile in tiles() if tile.more}
    assert {tile.kernel for tile in tiles()} | more | others <= set(found)
    assert {kernel: spilled for kernel, (_, spilled, _) in found.items() if spilled} == {}
    limit = SHARED_MEMORY[architecture]
    for tile in tiles():
        for kernel in (tile.kernel, tile.kernel_more)[: 1 + tile.more]:
            registers, _, static = found[kernel]
            assert registers * tile.threads * tile.blocks <= REGISTERS, kernel
            assert static + tile.shared <= limit, kernel
    assert limit >= QUANTISER_SHARED


def test_no_option_that_changes_bits_is_left_to_a_default() -> None:
    flags = compiling.options("sm_90", compiling.PARTS[0]).as_bytes("nvrtc")
    wanted = {b"--gpu-architecture=sm_90", b"--ftz=false", b"--prec-div=true", b"--prec-sqrt=true", b"--fmad=false",
              b"--std=c++17", b"--device-as-default-execution-space"}  # fmt: skip
    assert wanted <= {flag.replace(b"-arch=", b"--gpu-architecture=") for flag in flags}
    assert b"--use_fast_math" not in flags


def test_a_part_has_its_own_level_of_optimisation() -> None:
    part = compiling.Part("ONLY_OTHERS", 1)
    flags = b" ".join(compiling.options("sm_90", part).as_bytes("nvrtc"))
    assert b"-O1" in flags
    assert b"ONLY_OTHERS" in flags


def test_what_was_compiled_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    import cuda.core

    folder, part = folder_of(tmp_path), compiling.PARTS[0]
    first = compiling.compile_part("sm_90", part, folder)
    with monkeypatch.context() as patched:
        patched.setattr(cuda.core, "Program", None)
        assert compiling.compile_part("sm_90", part, folder) == first
        for change in ({"architecture": "sm_80"}, {"part": compiling.Part("ONLY_CONVOLUTIONS", 0)}):
            arguments = {"architecture": "sm_90", "part": part, "folder": folder, **change}
            with pytest.raises(EngineError):  # it would compile
                compiling.compile_part(**arguments)  # type: ignore[arg-type]
    assert compiling.compile_part("sm_90", part, folder_of(tmp_path, "3.0f")) != first  # a header changed


def test_a_home_that_cannot_be_written_only_costs_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    assert compiling.compile_part("sm_90", compiling.PARTS[0], folder_of(tmp_path))


def test_a_source_that_does_not_compile_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "nonsense")
    with pytest.raises(EngineError, match=r'did not compile the kernels for sm_90(.|\n)*"nonsense" is undefined'):
        compiling.compile_part("sm_90", compiling.PARTS[0], folder)


@pytest.mark.parametrize(
    ("capability", "architecture"), [((9, 0), "sm_90"), ((8, 6), "sm_86"), ((8, 7), "sm_86"), ((12, 1), "sm_120")]
)
def test_a_card_gets_the_nearest_architecture(capability: tuple[int, int], architecture: str) -> None:
    assert compiling.architecture(capability, (75, 80, 86, 90, 100, 120)) == architecture


def test_nvrtc_knows_the_architectures() -> None:
    assert {int(name[3:]) for name in ARCHITECTURES} <= set(compiling.known_architectures())
