"""The engine through the real cuda.core and NVRTC, on a driver that has no GPU: the same bits again.

Knows: the library that stands for libcuda (tests/support/cuda/libcuda.cpp). The kernels that NVRTC compiles are loaded;
what runs are the same kernels on the CPU. So every call that gpu.py makes of cuda.core is one that it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamrvq.engine.cuda import compile as compiling
from tests.support.cuda.compiled import CACHE, said
from tests.support.cuda.emulated import library, missing
from tests.support.paths import ROOT
from tools.gpu_check import expected

pytest.importorskip("cuda.core", reason="needs the extra [cuda]")
pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(sys.platform != "linux", reason="the bindings look for libcuda.so.1 on Linux"),
]
DRIVER = ROOT / "tests" / "support" / "cuda" / "libcuda.cpp"


@pytest.fixture(scope="module")
def without_a_card(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which a process finds the driver that has none.

    What NVRTC compiled is kept for the next process, and, in build/, for the next run. So is what
    test_compile.py has it compile.
    """
    folder = tmp_path_factory.mktemp("driver")
    command = ["g++", "-std=c++20", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1")]
    done = subprocess.run([*command, str(DRIVER), "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    emulator = library()._name
    for part in compiling.PARTS:
        said("sm_90", part)  # the architecture of the GPU that libcuda.cpp tells of
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), "EMULATOR": emulator, "XDG_CACHE_HOME": str(CACHE)}


def test_cuda_core_takes_every_call_and_the_bits_are_the_same(tmp_path: Path, without_a_card: dict[str, str]) -> None:
    found = expected.read(expected.HASHES)
    names = "odd encode 3x1", "odd decode 5x2", "odd encode 33x3"
    some = {name: found["codecs"]["odd"]["cases"][name] for name in names}
    (hashes := tmp_path / "hashes.json").write_text(
        json.dumps({"codecs": {"odd": {**found["codecs"]["odd"], "cases": some}}})
    )
    results = {}
    for part in ("card", "codecs", "moves"):  # as gpu-check starts them, which compiles anew in every run
        done = subprocess.run(
            [sys.executable, "-m", "tools.gpu_check", "--part", part, "--codecs", "odd", "--device", "cuda:0",
             "--expected", str(hashes), "--out", str(out := tmp_path / f"{part}.json")],
            cwd=ROOT, env=without_a_card, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{part}: {done.stdout}{done.stderr}"
        results[part] = json.loads(out.read_text())
        assert results[part]["wrong"] == 0, f"{part}: {done.stdout}"
    assert results["codecs"]["rows"][0]["steps"] > 20


def test_a_kernel_that_fails_is_told(without_a_card: dict[str, str]) -> None:
    environment = without_a_card | {"EMULATOR": "/nowhere"}  # no kernel can be run
    code = "from streamrvq.engine.cuda import open_device; from streamrvq.engine.cuda.selftest import check_device; "
    code += "check_device(open_device('cuda'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "EngineError: no GPU failed at its work: CUDA_ERROR_ILLEGAL_ADDRESS" in done.stderr, done.stderr
