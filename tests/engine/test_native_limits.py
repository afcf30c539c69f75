"""The native engine at its limits: memory of awkward sizes, steps of many tasks, threads that do not start, and calls
from two threads at once.

Knows: the library's calls. Does not know: bits (test_native_bits.py). What would end a process or hang runs in one of
its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from streamrvq.engine.native import Core, Program
from streamrvq.errors import EngineError
from streamrvq.geometry import Plan, PlanBuilder, Tensors
from tests.support.contract import NO_QUANTIZER, needs_native
from tests.support.native import ISAS
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

pytestmark = needs_native


def run(code: str) -> str:
    """Run a script. One that hangs takes too long."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def one_tap(channels: int, outputs: int) -> tuple[Plan, dict[str, np.ndarray]]:
    build = PlanBuilder(channels, 1, causal=True)
    build.conv("l", Tensors("w", None), outputs, 1)
    return build.plan("encode", NO_QUANTIZER), {"w": np.ones((outputs, channels, 1), np.float32)}


class Usage(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    )  # fmt: skip


def allocated() -> int:
    """Bytes that the C library has given out."""
    usage = MALLINFO()
    return int(usage.uordblks + usage.hblkhd)


MALLINFO = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
if MALLINFO is not None:
    MALLINFO.restype = Usage


@pytest.mark.skipif(MALLINFO is None, reason="this C library does not say what it has given out")
@pytest.mark.parametrize("channels", [8159, 8160, 8168, 8175, 8176])
def test_memory_that_goes_is_given_back_the_way_it_came(channels: int) -> None:
    """Packed weights of 256 bytes a channel and 4096 more: one page below 2 MiB, up to it and from there on, memory is
    mapped; below that it is the C library's."""
    plan, tensors = one_tap(channels, 64)

    def make_and_drop() -> None:
        Core(ISAS[0], 1).set_plan(Program.LAYERS, plan, tensors, half_from=-1)

    make_and_drop()
    before = allocated()
    for _ in range(8):
        make_and_drop()
    assert allocated() - before < 2 << 20


@pytest.mark.parametrize(("rate", "threads"), [(2048, 1), (2048, 3), (4100, 2)])
def test_a_step_may_have_any_number_of_tasks(rate: int, threads: int) -> None:
    """An attention has one for each row, and a thread's share counts in 16 bits. A window of one position returns v."""
    out = run(f"""
import numpy as np
from streamrvq.engine.native import Core, Program, isas
from streamrvq.geometry import PlanBuilder, Quantizer

build = PlanBuilder(6, {rate}, causal=True)
build.attention("a", heads=1, window=1, theta=100.0)
core, one = Core(isas()[0], {threads}), np.zeros(1, np.int64)
core.set_plan(Program.LAYERS, build.plan("encode", Quantizer((), 0, 0, 0)), {{}})
x = np.random.default_rng(0).standard_normal((32 * {rate}, 6)).astype(np.float32)
y = np.full((len(x), 2), np.nan, np.float32)
core.step(Program.LAYERS, 32, None, one, one, one - 1, given=x, out=y)
print((y == x[:, 4:]).all())
""")
    assert out == "True"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc here")
def test_threads_that_do_not_start_are_said_in_a_sentence() -> None:
    """There is room for the stacks of some of 1000 threads. The step changes nothing; with fewer threads it goes on."""
    out = run("""
import resource
import numpy as np
from streamrvq import CodecConfig, EngineError
from streamrvq.engine.native import NativeEngine
from streamrvq.weights import seeded

config = CodecConfig(encoder_dim=2, encoder_rates=(2, 4), decoder_dim=4, decoder_rates=(4, 2), latent_dim=6)
tensors, pcm, one = seeded(config).tensors, np.ones((1, 40), np.float32), np.zeros(1, np.int64)

def step(engine, states):
    return engine.encode_step(pcm, states, one, one, one - 1, 3)[0]

alone, engine = NativeEngine(config, tensors, threads=1), NativeEngine(config, tensors, threads=1000)
wanted, states = step(alone, alone.new_states(1, "encode")), engine.new_states(1, "encode")
before = resource.getrlimit(resource.RLIMIT_AS)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20), before[1]))
try:
    step(engine, states)
except EngineError as error:
    print(error)
assert not states.data.any() and engine.hop_counts(states, one) == [0]
resource.setrlimit(resource.RLIMIT_AS, before)
engine = NativeEngine(config, tensors, threads=3)
assert (step(engine, states) == wanted).all()
""")
    assert "of 1000 threads and refuses one more" in out, out
    assert "ask for fewer" in out


def test_an_instruction_set_that_is_not_there_makes_no_engine() -> None:
    with pytest.raises(EngineError, match="instruction set 'mmx' is not available on this machine; choose from"):
        Core("mmx", 1)


def test_a_plan_is_replaced_and_measured_between_two_steps() -> None:
    """One thread steps; meanwhile another packs the same plan anew, and asks for times."""
    plan, tensors = one_tap(40, 40)
    core, one, over = Core(ISAS[0], 2), np.zeros(1, np.int64), threading.Event()
    core.set_plan(Program.LAYERS, plan, tensors)
    x, y, wrong = np.ones((32, 40), np.float32), np.empty((32, 40), np.float32), []

    def steps() -> None:
        try:
            for _ in range(3000):
                core.step(Program.LAYERS, 32, None, one, one, one - 1, given=x, out=y)
                if not (y == 40).all():
                    wrong.append(y.copy())
        finally:
            over.set()

    thread = threading.Thread(target=steps)
    thread.start()
    size = core.weight_bytes(Program.LAYERS, 0)
    while not over.is_set():
        core.set_plan(Program.LAYERS, plan, tensors)
        count, times = core.profile(Program.LAYERS, 3)
        assert 0 <= count <= 3000
        assert all(time >= 0 for time in times)
        assert core.weight_bytes(Program.LAYERS, 0) == size
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not wrong
