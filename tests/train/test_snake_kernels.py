"""Snake's Triton kernels in Triton's interpreter, which needs no card. Where Triton is not installed: passed over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE

SCRIPT = """
import torch
from streamrvq.train.snake import plain
from streamrvq.train.device.snake_kernels import Fused

for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
    x = (6 * torch.randn(3, 275, 70)).to(dtype)
    found = []
    for function, kind in ((Fused.apply, dtype), (plain, torch.float64)):
        leaf = x.to(kind).requires_grad_()
        alpha = torch.linspace(0.5, 1.5, 70).view(1, 70, 1).requires_grad_()
        y = function(leaf, alpha, 3)
        g = torch.linspace(-1, 1, y.numel()).view_as(y).to(dtype).to(y.dtype)
        found.append([y.detach(), *torch.autograd.grad(y, [leaf, alpha], g)])
    for ours, theirs in zip(*found):
        error = (ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()
        assert float(error) < tolerance, (dtype, float(error))
"""


def test_snake_on_a_card_is_snake() -> None:
    pytest.importorskip("triton")
    subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, timeout=PATIENCE, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
