"""Triton kernels in Triton's interpreter, which needs no card. Where Triton is not installed: passed over."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE

SNAKE = """
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

MAGNITUDE = """
import torch
from streamrvq.train.device.magnitude_kernels import Magnitude, fits
from streamrvq.train.spectra import plain_magnitude

packed = torch.randn(3, 11, 300, 2)
apart = lambda p: p.unbind(-1)
for split in (apart, lambda p: p.flatten(2).split(300, -1), lambda p: [q.contiguous() for q in apart(p)]):
    found = []
    for function in (Magnitude.apply, plain_magnitude):
        leaf = packed.clone().requires_grad_()
        assert fits(*split(leaf))
        y = function(*split(leaf), 0.1)
        found.append([y.detach(), *torch.autograd.grad((y * y * y).sum(), [leaf])])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs)
"""

CONVOLUTIONS = """
import torch
from streamrvq.train.device import convolution, snake_kernels

for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
    for name, ours, theirs in convolution.compared(snake_kernels, "cpu", dtype):
        assert float((ours - theirs).norm() / theirs.norm()) < tolerance, (name, dtype)

g = torch.randn(3, 275, 70)
padded, total = snake_kernels.padded(g, 5)
torch.testing.assert_close(padded, torch.nn.functional.pad(g, (0, 0, 0, 5)))
torch.testing.assert_close(total, g.sum((0, 1)))
"""

JUDGING = """
import torch
from streamrvq.train.device import judging, judging_kernels
from streamrvq.train.adversarial import Discriminators, all_losses, fused_losses

judging_kernels._TILES = 2  # so that there are several groups of tiles
for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 1e-2)):
    for ours, theirs in judging.compared(judging_kernels, "cpu", dtype):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=10 * tolerance)

judges = Discriminators(2)
x, y = torch.randn(2, 2, 3072)
found = []
for losses, more in ((fused_losses, [judging_kernels]), (all_losses, [])):
    leaf = y.clone().requires_grad_()
    codec, theirs = losses(judges, x, leaf, torch.float32, *more)
    gradients = [torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0] for value in codec.values()]
    gradients += torch.autograd.grad(theirs, list(judges.parameters()))
    found.append([*codec.values(), theirs, *gradients])
assert len(found[0]) == 5 + 3 * 108
for ours, theirs in zip(*found, strict=True):
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
"""


@pytest.mark.parametrize(
    "script", [SNAKE, CONVOLUTIONS, MAGNITUDE, JUDGING], ids=["Snake", "convolutions", "magnitude", "judging"]
)
def test_kernels_of_a_card_give_what_torch_gives(script: str) -> None:
    pytest.importorskip("triton")
    subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=PATIENCE, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
