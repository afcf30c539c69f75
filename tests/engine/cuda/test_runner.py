"""Steps that are interrupted, refused, or asked for by two threads; memory that grows; forks.

Knows: the contract of engine/base.py and the seam of device.py. Exceptions at every place of a step, and of streams and
pools on it: tests/engine/test_counts.py and tests/streaming run them on this engine as on the others.
"""

from __future__ import annotations

import copy
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamrvq.engine.cuda import CudaEngine, runner
from streamrvq.errors import EngineError, InputError
from tests.support.contract import CUDA, minute, noise, weights_of
from tests.support.cuda.emulated import EmulatedDevice
from tests.support.interrupting import ARITHMETIC, every_place
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(not CUDA, reason="the kernels cannot be compiled here")

HOP, ZERO, OPEN = 8, np.array([0]), np.array([-1])


@pytest.fixture(scope="module")
def device() -> EmulatedDevice:
    return EmulatedDevice()


@pytest.fixture
def engine(device: EmulatedDevice) -> CudaEngine:
    return CudaEngine(minute(causal=False), weights_of(minute(causal=False)).tensors, device)


def encode(engine: CudaEngine, states: Any, clock: int, hops: int = 2, rows: int = 1) -> Any:
    pcm = np.stack([noise(40 * HOP, row) for row in range(rows)])[:, clock * HOP : (clock + hops) * HOP]
    return engine.encode_step(pcm, states, np.arange(rows), np.full(rows, clock), np.full(rows, -1), 3, True)


def test_a_step_that_was_never_asked_for_has_not_happened(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another program has left in the memory where its serial number would be."""
    wanted = encode(engine, engine.new_states(1, "encode"), 0)
    states = engine.new_states(1, "encode")

    def interrupted(self: runner.Program, *_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner.Program, "ask", interrupted)
        for (_, _), program in engine._runner._programs.items():
            program._done[0] = engine._runner._serial + 1
        with pytest.raises(KeyboardInterrupt):
            encode(engine, states, 0)
    assert engine.hop_counts(states, ZERO) == [0]
    for came, right in zip(encode(engine, states, 0), wanted, strict=True):
        np.testing.assert_array_equal(came, right)


@pytest.mark.parametrize("levels", [0, 4])
def test_levels_that_there_are_not_are_refused(engine: CudaEngine, levels: int) -> None:
    states, after = engine.new_states(1, "encode"), engine.new_states(1, "decode")
    with pytest.raises(InputError, match=f"a step got {levels} levels; wanted 1 to 3"):
        engine.encode_step(np.zeros((1, HOP), np.float32), states, ZERO, ZERO, OPEN, levels)
    with pytest.raises(InputError, match=f"a step got {levels} levels; wanted 1 to 3"):
        engine.decode_step(np.zeros((1, levels, 1), np.int64), after, ZERO, ZERO, OPEN)


def test_a_step_that_was_asked_for_and_not_waited_for(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens, sooner or later: whoever comes next finds the count moved, and the outputs there."""
    wanted = encode(engine, engine.new_states(1, "encode"), 0)
    states = engine.new_states(1, "encode")
    ask = runner.Program.ask

    def interrupted(*arguments: Any) -> None:
        ask(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner.Program, "ask", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode(engine, states, 0)
    assert engine._runner.device.queue, "nothing has been computed yet"  # type: ignore[attr-defined]
    monkeypatch.undo()
    others = engine.new_states(1, "encode")  # another's step, of the same shape, comes in between
    encode(engine, others, 0)
    encode(engine, others, 2)
    assert engine.hop_counts(states, ZERO).tolist() == [2]
    for came, right in zip(encode(engine, states, 0), wanted, strict=True):
        np.testing.assert_array_equal(came, right)
    assert engine.hop_counts(states, ZERO).tolist() == [2]


@pytest.mark.parametrize("entry", ["export", "import", "reset", "copy"])
def test_whatever_comes_next_waits_for_a_step(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    fresh, states = engine.new_states(1, "encode"), engine.new_states(1, "encode")
    encode(engine, fresh, 0)
    wanted = [history.tobytes() for history in engine.export_state(fresh, 0)]
    ask = runner.Program.ask

    def interrupted(*arguments: Any) -> None:
        ask(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(runner.Program, "ask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encode(engine, states, 0)
    if entry == "import":
        zeros = [np.zeros(shape, np.float32) for shape in states.plan.histories]
        engine.import_state(states, 0, zeros, 5)
        wanted, count = [history.tobytes() for history in zeros], 5
    elif entry == "reset":
        engine.reset(states, ZERO)
        wanted, count = [np.zeros(shape, np.float32).tobytes() for shape in states.plan.histories], 0
    else:
        states, count = copy.deepcopy(states) if entry == "copy" else states, 2
    assert [history.tobytes() for history in engine.export_state(states, 0)] == wanted
    assert engine.hop_counts(states, ZERO).tolist() == [count]


def test_a_step_that_the_device_refuses_changes_nothing(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    states = engine.new_states(1, "encode")
    encode(engine, states, 0)
    before = [history.tobytes() for history in engine.export_state(states, 0)]

    def refused(*arguments: Any) -> None:
        raise EngineError("the GPU is busy with other things")

    with monkeypatch.context() as patched:
        patched.setattr(runner.Program, "ask", refused)
        with pytest.raises(EngineError, match="busy with other things"):
            encode(engine, states, 2)
    assert [history.tobytes() for history in engine.export_state(states, 0)] == before
    assert engine.hop_counts(states, ZERO).tolist() == [2]
    encode(engine, states, 2)


def test_codes_past_the_codebook_are_refused(engine: CudaEngine) -> None:
    """The GPU would read what lies behind it."""
    states = engine.new_states(1, "decode")
    for codes in ([[[64]]], [[[-2]]]):
        with pytest.raises(InputError, match=r"wanted 0 to 63, and -1 where a level is missing"):
            engine.decode_step(np.array(codes), states, ZERO, ZERO, OPEN)


def test_a_slot_that_is_not_there(engine: CudaEngine) -> None:
    states = engine.new_states(2, "encode")
    for call in (engine.export_state, lambda *where: engine.reset(where[0], np.array([where[1]]))):
        with pytest.raises(IndexError):
            call(states, 2)


def test_memory_grows_and_what_was_recorded_in_it_is_made_again(engine: CudaEngine) -> None:
    wanted = encode(engine, engine.new_states(1, "encode"), 0, 11)[0]
    fresh = CudaEngine(engine.config, weights_of(engine.config).tensors, engine._runner.device)  # type: ignore[arg-type]
    states, sizes, parts, clock = fresh.new_states(1, "encode"), [], [], 0
    for hops in (1, 1, 6, 1, 2):
        parts.append(encode(fresh, states, clock, hops)[0])
        clock += hops
        block = fresh._runner._block
        assert block is not None
        sizes.append(block.size)
    np.testing.assert_array_equal(np.concatenate(parts, -1), wanted)
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3] == sizes[4]
    assert [shape.hops for _, shape in fresh._runner._programs] == [6, 1, 2]


def test_an_exception_anywhere_while_a_program_is_made(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of a shape, in memory that is not there yet: the same step again gives what it should."""
    monkeypatch.setattr(runner, "PROGRAMS", 0)
    wanted = encode(engine, engine.new_states(1, "encode"), 0)
    interrupted = 0
    for interrupt in every_place(53, ARITHMETIC):
        engine._runner._programs.clear()
        engine._runner._block, states = None, engine.new_states(1, "encode")
        with interrupt:
            encode(engine, states, 0)
        interrupted += bool(interrupt.where)
        for came, right in zip(encode(engine, states, 0), wanted, strict=True):
            np.testing.assert_array_equal(came, right, err_msg=interrupt.where)
        assert engine.hop_counts(states, ZERO).tolist() == [2], interrupt.where
    assert interrupted > 20


def test_programs_that_were_not_asked_for_lately_go(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PROGRAMS", 2)
    states = engine.new_states(1, "encode")
    for clock, hops in ((0, 4), (4, 1), (5, 2), (7, 3), (10, 4)):
        encode(engine, states, clock, hops)
    assert [shape.hops for _, shape in engine._runner._programs] == [3, 4]


def test_too_large_a_step_is_refused(engine: CudaEngine) -> None:
    states = engine.new_states(1 << 16, "decode")
    rows = np.arange(1 << 16)
    with pytest.raises(EngineError, match="a step got 65536 rows; the cuda engine takes 65535 at most"):
        engine.decode_step(np.zeros((1 << 16, 1, 1), np.int64), states, rows, 0 * rows, 0 * rows - 1)
    assert engine.hop_counts(states, rows).max() == 0
    hops = 1 << 28  # which nobody has to have in memory: one number, seen many times
    codes = np.broadcast_to(np.zeros(1, np.int64), (1, 1, hops))
    with pytest.raises(EngineError, match=r"a layer of \d+ numbers; the cuda engine takes 2147483647 at most"):
        engine._runner.program(engine._decoder, runner.Shape(*codes.shape[::2], 1))


def test_a_small_card_takes_small_steps(device: EmulatedDevice) -> None:
    tensors = weights_of(minute()).tensors
    devices = [EmulatedDevice(free=free, multiprocessors=100) for free in (1, 1 << 22, 1 << 40)]
    small, middle, large = (CudaEngine(minute(), tensors, device).row_hops for device in devices)
    assert small == 1 < middle < large == 1600


def test_two_threads_take_turns(engine: CudaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both get what they would get alone, though each step waits in the middle."""
    wanted = [encode(engine, engine.new_states(1, "encode"), 0)[0]]
    states = engine.new_states(1, "encode")
    wanted = [encode(engine, states, clock)[0] for clock in range(0, 20, 2)]
    ask = runner.Program.ask

    def slow(*arguments: Any) -> None:
        ask(*arguments)
        time.sleep(0.001)

    monkeypatch.setattr(runner.Program, "ask", slow)
    came: dict[int, list[Any]] = {0: [], 1: []}
    both = threading.Barrier(len(came))

    def work(who: int) -> None:
        both.wait(PATIENCE)
        mine = engine.new_states(1, "encode")
        came[who] += [encode(engine, mine, clock)[0] for clock in range(0, 20, 2)]

    threads = [threading.Thread(target=work, args=(who,)) for who in came]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for results in came.values():
        np.testing.assert_array_equal(np.concatenate(results, -1), np.concatenate(wanted, -1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads, from Python 3.12 on
def test_a_forked_child_is_told_so(engine: CudaEngine) -> None:
    states = engine.new_states(1, "encode")
    calls: list[Callable[[], Any]] = [
        lambda: encode(engine, states, 0), lambda: engine.export_state(states, 0), lambda: engine.reset(states, ZERO),
        lambda: engine.new_states(1, "decode"), lambda: copy.deepcopy(states),
    ]  # fmt: skip
    child = os.fork()
    if not child:
        told = 0
        for call in calls:
            try:
                call()
            except EngineError as error:
                told += "a GPU does not come through a fork; load the codec in the child" in str(error)
        os._exit(0 if told == len(calls) else 1)
    assert os.waitpid(child, 0)[1] == 0
    encode(engine, states, 0)


def test_states_and_engine_are_not_pickled(engine: CudaEngine) -> None:
    for value, words in ((engine, "pickle its codec"), (engine.new_states(1, "encode"), "pickle a stream")):
        with pytest.raises(EngineError, match=words):
            pickle.dumps(value)
