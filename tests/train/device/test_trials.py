"""Kernels that fail their trial are not used, and the run can say why."""

from __future__ import annotations

import torch

from streamrvq.train.device.gpu import tried


def test_a_trial_runs_once_and_gives_kernels_or_the_reason() -> None:
    calls = []

    @tried
    def works() -> object:
        calls.append("works")
        return torch

    @tried
    def fails() -> object:
        calls.append("fails")
        raise ArithmeticError("Snake is off\n  by " + 400 * "9")

    assert works() == works() == (torch, "")
    kernels, why = fails()
    assert kernels is None
    assert why.startswith("ArithmeticError: Snake is off by 99")
    assert len(why) == 300
    assert fails() == (None, why)
    assert calls == ["works", "fails"]
