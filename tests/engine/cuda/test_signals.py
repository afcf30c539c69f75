"""A signal handler that uses the engine in the middle of one of its steps.

Knows: the turn of engine/cuda/runner.py. Other ways in which a step is interrupted: test_runner.py.
"""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamrvq.engine.cuda import CudaEngine, runner
from streamrvq.errors import EngineError
from tests.support.contract import CUDA, minute, noise, weights_of
from tests.support.cuda.emulated import EmulatedDevice

pytestmark = pytest.mark.skipif(not CUDA, reason="the kernels cannot be compiled here")

HOP, ZERO = 8, np.array([0])


def encode(engine: CudaEngine, states: Any) -> Any:
    return engine.encode_step(noise(2 * HOP)[None], states, ZERO, ZERO, np.array([-1]), 3)[0]


def test_a_signal_handler_is_told_that_a_step_below_it_has_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for ever. The step goes on, and so does whatever comes after it."""
    engine = CudaEngine(minute(), weights_of(minute()).tensors, EmulatedDevice())
    wanted = encode(engine, engine.new_states(1, "encode"))
    mine, others = engine.new_states(1, "encode"), engine.new_states(1, "encode")
    ask, told = runner.Program.ask, list[Any]()

    def handler(*_: Any) -> None:
        with pytest.raises(EngineError, match="set a flag in the handler") as error:
            encode(engine, others)
        told.append(error)

    def asked(*arguments: Any) -> None:
        ask(*arguments)
        signal.raise_signal(signal.SIGUSR1)

    def waited(seconds: float) -> None:
        raise AssertionError("waits for a turn that never comes")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(runner.Program, "ask", asked)
            patch.setattr(runner, "time", SimpleNamespace(sleep=waited))
            came = encode(engine, mine)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(told) == 1
    assert (engine.hop_counts(mine, ZERO), engine.hop_counts(others, ZERO)) == ([2], [0])
    np.testing.assert_array_equal(came, wanted)
    np.testing.assert_array_equal(encode(engine, others), wanted)
