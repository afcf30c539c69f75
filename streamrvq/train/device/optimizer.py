"""A step of the optimisers of optimizer.py on a GPU, in few kernels, with a rate that is read there.

The states are those of torch's own optimisers, so a run may go on anywhere. Muon's Newton-Schulz iterations run for all
matrices of a shape at once.

Knows: what AdamW and Muon do with a gradient. Does not know: which parameter belongs to which (optimizer.py).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from ..optimizer import Optimizer


class DeviceOptimizer:
    """Steps ``optimizer`` on its parameters' device."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        for muon, flat in _matrices(optimizer):
            state = muon.state[flat]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(flat)

    @torch.no_grad()
    def step(self, rate: Tensor, good: Tensor) -> None:
        """One step with the gradients of the parameters, at ``rate`` times the learning rates.

        Args:
            rate: float32 ``[]``.
            good: float32 ``[]``, 1; at 0 nothing changes. Then the gradients must be finite all the same.
        """
        config = self._optimizer.config
        adamw(self._optimizer.adam, rate * config.small_lr, good)
        self._muon(rate * config.lr, good)

    def _muon(self, lr: Tensor, good: Tensor) -> None:
        found = _matrices(self._optimizer)
        if not found:
            return
        group = found[0][0].param_groups[0]  # all have the same settings
        momentum, steps = float(group["momentum"]), int(group["ns_steps"])
        flats = [flat.data for _, flat in found]
        buffers = [muon.state[flat]["momentum_buffer"] for muon, flat in found]
        by_flat = zip(self._optimizer.flat, self._optimizer.matrices, strict=True)
        gradient_of = {id(flat): matrix.grad for flat, matrix in by_flat}
        gradients = [_needed(gradient_of[id(flat)]).flatten(1) for _, flat in found]
        apart = torch._foreach_sub(gradients, buffers)
        torch._foreach_mul_(apart, good * (1 - momentum))
        torch._foreach_add_(buffers, apart)
        updates = torch._foreach_lerp(gradients, buffers, momentum) if group["nesterov"] else buffers
        torch._foreach_mul_(flats, 1 - lr * float(group["weight_decay"]) * good)
        numbers = sorted(range(len(flats)), key=lambda i: tuple(flats[i].shape))
        for shape, same in itertools.groupby(numbers, key=lambda i: tuple(flats[i].shape)):
            mine = list(same)
            matrices = torch.stack([updates[i] for i in mine])
            directions = orthogonal(matrices, group["ns_coefficients"], steps, float(group["eps"])).float()
            directions *= -lr * good * math.sqrt(max(1.0, shape[0] / shape[1]))
            torch._foreach_add_([flats[i] for i in mine], list(directions.unbind()))


def adamw(optimizer: torch.optim.AdamW, lr: Tensor, good: Tensor) -> None:
    """One fused step of ``optimizer`` at the rate ``lr []``; at ``good`` 0 nothing changes, its count neither.

    Its settings stay those of the host, so that a checkpoint does not depend on the device.
    """
    before = [dict(group) for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group.update(lr=lr, capturable=lr.is_cuda, fused=True, foreach=False)
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "step" in state and state["step"].device != parameter.device:  # of a host that counts for itself
                state["step"] = state["step"].to(parameter.device)
    optimizer.found_inf = 1 - good  # type: ignore[attr-defined]  # as torch.amp.GradScaler does
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # type: ignore[attr-defined]
        for group, settings in zip(optimizer.param_groups, before, strict=True):
            group.update({name: settings[name] for name in ("lr", "capturable", "fused", "foreach")})


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz iterations as in ``torch.optim.Muon``, for ``[n, rows, columns]`` at once, in bfloat16."""
    a, b, c = coefficients
    x = matrices.bfloat16()
    turned = x.shape[1] > x.shape[2]
    x = x.mT if turned else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x


def _matrices(optimizer: Optimizer) -> list[tuple[torch.optim.Optimizer, nn.Parameter]]:
    """Each Muon and its matrix, which shares the memory of its parameter."""
    return [(muon, muon.param_groups[0]["params"][0]) for muon in optimizer.muons]


def _needed(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient
