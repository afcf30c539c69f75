"""A training step on a GPU: crops, both passes, optimisers, codebooks and averages, launched as one CUDA graph.

The order is that of `Trainer.train_step`. What the host decides there by looking at a number is a factor here: a step
without a finite gradient multiplies by 0 what it would have changed.

Knows: the arithmetic between the parts of a step. Does not know: how it is fed and read (runner.py), graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..adversarial import GREATEST_NORM, all_losses
from ..steps.passes import Pass, run_pass
from ..steps.ranks import Ranks
from .inputs import Inputs
from .optimizer import DeviceOptimizer, adamw
from .tally import Tally
from .trained import Trained


class DeviceStep:
    """The step of ``trainer``, as a function of ``inputs``.

    Args:
        trainer: whose model, average, optimisers and running means are moved, at their present addresses.
        cut: makes the crops from the inputs.
        inputs: read in each call.
        tally: takes the figures.
        quantise: whether there are codebooks.
        adversarial: whether there are discriminators.
    """

    def __init__(
        self, trainer: Trained, cut: Callable[[Inputs], Tensor], inputs: Inputs, tally: Tally,
        quantise: bool, adversarial: bool,
    ) -> None:  # fmt: skip
        self._trainer, self._cut, self._inputs, self._tally = trainer, cut, inputs, tally
        self._quantise, self._adversarial = quantise, adversarial
        self._optimizer = DeviceOptimizer(trainer.optimizer)
        self._parameters = trainer.parameters
        self._theirs: Tensor | None = None

    @property
    def names(self) -> set[str]:
        """The figures that it adds."""
        more = (["commitment"] if self._quantise else []) + (["adversarial", "feature"] if self._adversarial else [])
        return {"mel", "stft", "compressed", "wave", "gradient", *more}

    def __call__(self) -> None:
        trainer, inputs = self._trainer, self._inputs
        x = self._cut(inputs)
        if self._adversarial:
            assert trainer.discriminators is not None
            trainer.discriminators.requires_grad_(True)
        done = run_pass(
            trainer.model, self._parameters, trainer.losses, trainer.config, x, trainer.dtype,
            used=inputs.used if self._quantise else None,
            adversarial=self._adversarial_losses if self._adversarial else None,
            share=1 / trainer.ranks.world, keep=self._adversarial,
        )  # fmt: skip
        norm, good = clipped(self._parameters, done.gradients, trainer.config.clip, trainer.ranks)
        theirs = self._their_gradients() if self._adversarial else []
        self._optimizer.step(inputs.rate, good)
        if self._adversarial:
            assert trainer.discriminators is not None
            parameters = list(trainer.discriminators.parameters())
            _, sound = clipped(parameters, theirs, GREATEST_NORM, trainer.ranks)
            rate = torch.full_like(inputs.rate, trainer.config.discriminator_lr)
            adamw(trainer.discriminator_optimizer, rate, good * sound)
            trainer.discriminators.requires_grad_(False)
        self._follow(done, good)
        self._tally.add(done.figures | {"gradient": norm}, good)

    def _adversarial_losses(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        assert self._trainer.discriminators is not None
        losses, self._theirs = all_losses(self._trainer.discriminators, x, y, self._trainer.dtype)
        return losses

    def _their_gradients(self) -> tuple[Tensor, ...]:
        assert self._trainer.discriminators is not None and self._theirs is not None
        loss, self._theirs = self._theirs, None
        share = torch.full_like(loss, 1 / self._trainer.ranks.world)
        return torch.autograd.grad(loss, list(self._trainer.discriminators.parameters()), share)

    @torch.no_grad()
    def _follow(self, done: Pass, good: Tensor) -> None:
        trainer, replaced = self._trainer, None
        if done.codes is not None and done.latents is not None:
            move = trainer.config.codebooks == "ema"
            replaced = trainer.running_means.update(done.codes, done.latents, move, self._inputs.chosen, good > 0)
        average: list[Tensor] = [p.data for p in trainer.average.parameters()]
        weights: list[Tensor] = [p.data for p in trainer.model.parameters()]
        apart = list(torch._foreach_sub(weights, average))
        torch._foreach_mul_(apart, self._inputs.follow * good)
        torch._foreach_add_(average, apart)
        if replaced is not None:
            trainer.take_replaced(replaced)


@torch.no_grad()
def clipped(
    parameters: list[nn.Parameter], gradients: Sequence[Tensor | None], most: float, ranks: Ranks
) -> tuple[Tensor, Tensor]:
    """Give the parameters their gradients, summed over all processes and scaled to a norm of at most ``most`` together.

    They are zeros if they are not finite.

    Returns:
        Their norm before that, and 1 if it is finite, otherwise 0. Both float32 ``[]``.
    """
    pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    flat = torch.cat([g.reshape(-1) for _, g in pairs])
    ranks.sum_(flat)
    norm = torch.linalg.vector_norm(flat)
    finite = torch.isfinite(norm)
    flat = (flat * (most / (norm + 1e-6)).clamp(max=1.0)).masked_fill(~finite, 0.0)
    for p in parameters:
        p.grad = None
    for (p, _), part in zip(pairs, torch.split(flat, [g.numel() for _, g in pairs]), strict=True):
        p.grad = part.view(p.shape)
    return norm, finite.float()
