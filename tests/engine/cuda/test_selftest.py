"""The self-test refuses a device that computes other bits, and says which kernels do.

Knows: faults, planted into copies of the kernels' sources. Does not know: GPUs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from streamrvq.engine.cuda import CudaEngine
from streamrvq.engine.cuda.selftest import check_device, plain, plain_rows
from streamrvq.engine.cuda.tiles import tiles
from streamrvq.errors import EngineError
from streamrvq.geometry import Activation
from tests.support.contract import CUDA, NATIVE, codec_of, minute, weights_of
from tests.support.cuda.emulated import KERNELS, EmulatedDevice

pytestmark = pytest.mark.skipif(not CUDA, reason="the kernels cannot be compiled here")

MORE = {tile.kernel_more for tile in tiles() if tile.more}
#: What is wrong in a header, and which kernels compute other bits then.
FAULTS = [
    ("epilogue.cuh", "v = inside(v, at, c.low[b], c.high[b]);", "v = inside(v, at + 1, c.low[b], c.high[b]);",
     {tile.kernel for tile in tiles()} | MORE),
    ("functions.cuh", "mul_(square, -0.5f)", "mul_(square, -0.5001f)", MORE | {"upsample"}),
    ("fill.cuh", "end - 2 - i", "end - 1 - i", {"fill"}),
    ("rows.cuh", "half = 8; half > 0", "half = 8; half > 1", {"norm_rows"}),
    ("attention.cuh", "add_wide(1.0, s)", "add_wide(1.0000001, s)", {"rotate"}),
    ("attention.cuh", "end(a.window + t)", "end(a.window + t - 1)", {"attend"}),
    ("lstm.cuh", "(l.frame + 1) * l.units", "l.frame * l.units", {"lstm_8", "lstm_1"}),
    ("nearest.cuh", "dot[i][f] = book.halves[at];", "dot[i][f] = 0.0f;", {"nearest_8", "nearest_1"}),
    ("nearest.cuh", "t.onto ? ", "!t.onto ? ", {"total"}),
    ("column.cuh", "acc = fma_(a.x, v.x, acc);", "acc = add_(mul_(a.x, v.x), acc);", {"column"}),
    ("ends.cuh", "f.x[i] = tanh_of(f.x[i])", "f.x[i] = std::tanh(f.x[i])", {"finish"}),
    ("ends.cuh", "i % s.channels", "(i + 1) % s.channels", {"spread"}),
    ("embed.cuh", "z = add_(acc, z);", "z = fma_(acc, 1.0000001f, z);", {"embed"}),
    ("edges.cuh", "const int64_t first = e.clock[b] * layer.rate - layer.delay;",
     "const int64_t first = e.clock[b] * layer.rate;", {"edges"}),
    ("move.cuh", "buffer[t.last + i]", "buffer[t.last + i - 1]", {"move"}),
    ("quantise.cuh", "where < place", "where > place", {f"quantise_{name}" for name in ("8", "1", "8_any", "1_any")}),
]  # fmt: skip


def test_a_device_that_passed_is_not_asked_again() -> None:
    device = EmulatedDevice()
    check_device(device)
    listed = set(re.findall(r"BOUNDS\(\d+, \d+\) (\w+)\(", (KERNELS / "kernels.cu").read_text(encoding="utf-8")))
    assert device.launched == {tile.kernel for tile in tiles()} | MORE | listed
    device.launched.clear()
    check_device(device)
    assert not device.launched


def test_every_fault_is_found(tmp_path: Path) -> None:
    """All of them at once: each kernel that computes other bits is named, and no other."""
    folder = tmp_path / "kernels"
    shutil.copytree(KERNELS, folder)
    wrong: set[str] = set()
    for name, right, fault, kernels in FAULTS:
        source = (folder / name).read_text(encoding="utf-8")
        assert source.count(right) == 1, f"{name} has changed: plant another fault"
        (folder / name).write_text(source.replace(right, fault), encoding="utf-8")
        wrong |= kernels
    with pytest.raises(EngineError, match="emulated on the CPU fails the self-test of its bits") as refusal:
        CudaEngine(minute(), weights_of(minute()).tensors, EmulatedDevice(kernels=folder))
    named = str(refusal.value).partition("(")[2].partition(")")[0]
    assert set(named.split(", ")) == wrong
    assert str(refusal.value).endswith("report this, and use engine='native'")


@pytest.mark.skipif(not NATIVE, reason="the native engine was not built")
def test_what_is_expected_is_what_the_cpu_computes() -> None:
    """numpy's own fused multiply-adds round as real ones do, on the self-test's numbers."""
    x = np.concatenate([plain.numbers(500, 11, 12.0), plain.numbers(500, 12)])
    native = codec_of(minute(), "float32", "native").engine
    core = native.core  # type: ignore[attr-defined]
    assert core.tanh(x).tobytes() == plain.tanh(x).tobytes()
    assert core.activate(Activation.ELU, 0.0, x).tobytes() == plain_rows.elu(x).tobytes()
    assert core.activate(Activation.GELU, 0.0, x).tobytes() == plain_rows.gelu(x).tobytes()
