"""Every activation in every engine: the engines agree on it, and none passes over one that it does not know.

Knows: one convolution behind each `Activation`, parameters given. Does not know: how layers stream (test_contract.py),
the native engine's bits (test_native_bits.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamrvq.engine.lacking import NATIVE
from streamrvq.errors import EngineError
from streamrvq.geometry import Activation, Plan, Tensors
from tests.support.contract import CUDA, ENGINE_DTYPES, LAYER_RUNNERS, NO_QUANTIZER, builder, minute, needs_native

CHANNELS, KERNEL = 5, 3


def layer_behind(activation: Activation, parameters: str | None = "l.activation", *, causal: bool = False) -> Plan:
    build = builder(minute(causal=causal), CHANNELS, 1)
    build.conv("l", Tensors("l.weight", "l.bias", parameters), CHANNELS, KERNEL, activation=activation)
    return build.plan("encode", NO_QUANTIZER)


def results(engine: str, dtype: str, plan: Plan) -> Any:
    """A stream of 60 inputs in three steps, with the same random tensors for every engine."""
    rng = np.random.default_rng(0)
    tensors = {
        "l.weight": rng.standard_normal((CHANNELS, CHANNELS, KERNEL)).astype(np.float32),
        "l.bias": rng.standard_normal(CHANNELS).astype(np.float32),
        "l.activation": rng.uniform(0.5, 1.5, (1, CHANNELS, 1)).astype(np.float32),
    }
    x = rng.standard_normal((CHANNELS, 60)).astype(np.float32)
    runner = LAYER_RUNNERS[engine](minute(causal=plan.causal), plan, tensors, dtype)
    return np.concatenate([runner.step(x[:, i : i + 20], i, -1) for i in (0, 20, 40)], axis=1)


@needs_native
@pytest.mark.parametrize("activation", sorted(NATIVE.activations))
def test_the_engines_agree(causal: bool, activation: Activation) -> None:
    """An engine that lacks an activation refuses it here; one that computes another formula differs."""
    plan = layer_behind(activation, causal=causal)
    exact = results("torch", "float64", plan)
    native = results("native", "float32", plan)
    np.testing.assert_allclose(native, exact, rtol=0, atol=2e-5)
    if CUDA:
        np.testing.assert_array_equal(results("cuda", "float32", plan), native)


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
def test_an_unknown_activation_is_refused(engine: str, dtype: str) -> None:
    with pytest.raises(EngineError, match="activation 99"):
        results(engine, dtype, layer_behind(99))  # type: ignore[arg-type]


@pytest.mark.parametrize(("engine", "dtype"), ENGINE_DTYPES)
def test_a_snake_without_parameters_is_refused(engine: str, dtype: str) -> None:
    wanted = "names no parameters for its activation" if engine == "torch" else "needs its alpha"
    with pytest.raises(EngineError, match=wanted):
        results(engine, dtype, layer_behind(Activation.SNAKE, None))
