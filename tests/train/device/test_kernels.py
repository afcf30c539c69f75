"""Triton kernels in Triton's interpreter, which needs no GPU. Where Triton is not installed: passed over."""

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

SPECTRAL = """
import torch
from streamrvq.train import losses
from streamrvq.train.device import spectral, spectral_kernels

# Three tiles, one of them without reflections; whole hops; the shortest. The interpreter likes few and large tiles.
for spectral_kernels._TILE, time in ((1024, 2100), (4096, 2048), (4096, 1025)):
    losses.check(spectral, "cpu", time, torch.float64)

right = spectral_kernels.add_overlapping
spectral_kernels.add_overlapping = lambda total, g, hann: right(total, g * 1.01, hann)
try:
    losses.check(spectral, "cpu", 1025)
except AssertionError as error:
    assert "the gradient of mel of 1025 samples is off by 0.01; wanted less than 0.001" in str(error)
else:
    raise SystemExit("a wrong gradient was not found")
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

DISCRIMINATORS = """
import torch
from streamrvq.train.device import discriminator_kernels, discriminator_layers
from streamrvq.train.adversarial import Discriminators, all_losses, fused_losses

discriminator_kernels._TILES = 2  # so that there are several groups of tiles
for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 1e-2)):
    for ours, theirs in discriminator_layers.compared(discriminator_kernels, "cpu", dtype):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=10 * tolerance)

judges = Discriminators(2)
x, y = torch.randn(2, 2, 3072)
found = []
for losses, more in ((fused_losses, [discriminator_kernels]), (all_losses, [])):
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
    "script",
    [SNAKE, CONVOLUTIONS, SPECTRAL, DISCRIMINATORS],
    ids=["Snake", "convolutions", "spectral", "discriminators"],
)
def test_kernels_of_a_card_give_what_torch_gives(script: str) -> None:
    pytest.importorskip("triton")
    subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=PATIENCE, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
