"""Layers of causal plans beside DAC's on the native engine: the torch engine's numbers, and the same bits however cut.

Knows: padding by copies and mirror images, partial last windows, shortcuts, LSTMs, norms, attention. Does not know:
families.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streamrvq.geometry import Activation, Padding, Plan, PlanBuilder, Tensors
from tests.support.contract import NO_QUANTIZER, NativeLayers, TorchLayers, minute, needs_native
from tests.support.native import ISAS

pytestmark = needs_native

CHANNELS, RATE = 6, 4


def names(name: str) -> Tensors:
    return Tensors(f"{name}.w", f"{name}.b")


def lstm(name: str) -> Tensors:
    return Tensors(f"{name}.w", f"{name}.b", recurrent=f"{name}.r")


def a_conv(build: PlanBuilder) -> None:
    build.conv("a", names("a"), 5, 7, activation=Activation.ELU)


def strided(build: PlanBuilder) -> None:
    build.conv("a", names("a"), 5, 8, stride=4, activation=Activation.GELU)


def unit(build: PlanBuilder) -> None:
    build.conv("z", names("z"), 6, 3)
    build.hold("u")
    build.conv("a", names("a"), 3, 3, activation=Activation.ELU)
    build.conv("b", names("b"), 6, 1, activation=Activation.ELU)
    build.join("u", names("s"))
    build.conv("y", names("y"), 4, 1, activation=Activation.ELU)


def recurrent(build: PlanBuilder) -> None:
    build.conv("z", names("z"), 6, 1)
    build.hold("u")
    build.lstm("l", lstm("l"))
    build.lstm("k", lstm("k"))
    build.join("u")
    build.conv("y", names("y"), 4, 3, activation=Activation.ELU)


def bare_lstm(build: PlanBuilder) -> None:
    build.conv("z", names("z"), 37, 1)
    build.lstm("l", lstm("l"))
    build.conv("y", names("y"), 4, 1)


def block(build: PlanBuilder) -> None:
    """A transformer's, with a window that slides."""
    build.conv("z", names("z"), 24, 1)
    build.hold("u")
    build.norm("n", names("n"), 1e-5)
    build.conv("q", Tensors("q.w"), 3 * 24, 1)
    build.attention("a", heads=3, window=11, theta=100.0)
    build.conv("o", Tensors("o.w"), 24, 1)
    build.join("u", scale="u.s")
    build.hold("v")
    build.norm("m", names("m"), 1e-5)
    build.conv("f", Tensors("f.w"), 40, 1)
    build.conv("g", Tensors("g.w"), 24, 1, activation=Activation.GELU)
    build.join("v", scale="v.s")
    build.conv("y", names("y"), 4, 3, activation=Activation.ELU)


def sees_one(build: PlanBuilder) -> None:
    """Attention to a position's own row alone."""
    build.conv("q", Tensors("q.w"), 3 * 16, 1)
    build.attention("a", heads=2, window=1, theta=100.0)
    build.conv("y", names("y"), 4, 1)


def depthwise(build: PlanBuilder) -> None:
    build.conv("z", names("z"), 21, 1)
    build.transposed_conv("t", Tensors("t.w"), 21, 3, groups=21)
    build.conv("y", names("y"), 4, 3, activation=Activation.ELU)


STACKS = [a_conv, strided, unit, recurrent, bare_lstm, block, sees_one, depthwise]


def made(stack: Callable[[PlanBuilder], None], pad: Padding) -> tuple[Plan, dict[str, Any]]:
    build = PlanBuilder(CHANNELS, RATE, causal=True, pad=pad, fill_up=True)
    stack(build)
    plan, rng = build.plan("encode", NO_QUANTIZER), np.random.default_rng(3)
    return plan, {name: (0.5 * rng.standard_normal(shape)).astype(np.float32) for name, shape in plan.shapes.items()}


def run(runner: Any, plan: Plan, x: Any, hops: list[int], length: int) -> Any:
    """All outputs that there are, in steps of so many hops, the last of which know the length."""
    out, at = [], 0
    for count in hops:
        known = length if (at + count) * RATE >= length else -1
        out.append(runner.step(x[:, at * RATE : (at + count) * RATE], at, known))
        at += count
    return np.concatenate(out, axis=1)[:, : plan.outputs(length)]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("pad", Padding)
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_the_torch_engines_numbers_and_no_bit_by_cutting(
    stack: Callable[[PlanBuilder], None], pad: Padding, missing: int
) -> None:
    plan, tensors = made(stack, pad)
    first, length = plan.first, 40 * RATE - missing
    x = np.random.default_rng(1).standard_normal((CHANNELS, 40 * RATE)).astype(np.float32)
    config = minute(causal=True)
    exact = run(TorchLayers(config, plan, tensors, "float64"), plan, x, [40], length)
    whole = run(NativeLayers(config, plan, tensors, "float32", threads=1), plan, x, [40], length)
    np.testing.assert_allclose(whole, exact, rtol=0, atol=2e-6 * np.abs(exact).max())
    for isa in ISAS:
        for hops in ([first, *[1] * (40 - first)], [first + 2, 20, 18 - first]):
            runner = NativeLayers(config, plan, tensors, "float32", isa=isa, threads=2)
            np.testing.assert_array_equal(run(runner, plan, x, hops, length), whole)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8])
def test_signals_shorter_than_a_first_step(stack: Callable[[PlanBuilder], None], length: int) -> None:
    plan, tensors = made(stack, Padding.REFLECT)
    x, config = np.random.default_rng(2).standard_normal((CHANNELS, 8)).astype(np.float32), minute(causal=True)
    hops = [-(-length // RATE)]
    exact = run(TorchLayers(config, plan, tensors, "float64"), plan, x, hops, length)
    came = run(NativeLayers(config, plan, tensors, "float32"), plan, x, hops, length)
    np.testing.assert_allclose(came, exact, rtol=0, atol=2e-6 * np.abs(exact).max())
