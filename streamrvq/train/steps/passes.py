"""One forward and backward pass: a batch, or a part of it, becomes gradients and figures.

Nothing here waits for a device, and nothing that others read is changed.

Knows: the order encoder, quantiser, decoder, losses, balancer. Does not know: optimisers, threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...nn import CodecModel
from ..balance import balanced
from ..config import TrainConfig
from ..fast import run_decoder, run_encoder
from ..losses import Losses

#: Losses of discriminators for originals and reconstructions ``[b, T']``, each ``[b]``.
AdversarialLosses = Callable[[Tensor, Tensor], dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Pass:
    """The result: gradients of the parameters, figures ``[]``, output ``[b, T']``, and codes and latents if any."""

    gradients: tuple[Tensor | None, ...]
    figures: dict[str, Tensor]
    y: Tensor
    codes: Tensor | None
    latents: Tensor | None


def run_pass(
    model: CodecModel, parameters: list[nn.Parameter], losses: Losses, config: TrainConfig, x: Tensor,
    dtype: torch.dtype, *, used: Tensor | None, adversarial: AdversarialLosses | None, share: float,
    keep: bool = False,
) -> Pass:  # fmt: skip
    """Run ``x [b, T]`` through ``model`` and back.

    Args:
        parameters: those that get gradients.
        dtype: of the convolutions.
        used: the levels that each row uses, int64 ``[b]``; None: without the quantiser.
        adversarial: see `AdversarialLosses`; None: no discriminators.
        share: the weight of this part in the batch.
        keep: whether what ``adversarial`` computed will be differentiated once more.
    """
    z = run_encoder(model.encoder, x[:, None], dtype)
    codes = latents = None
    side = z.new_zeros(())
    figures = {}
    if used is not None:
        z, codes, latents, commitment, codebook = model.quantizer(z, used=used)
        side = config.loss.commitment * commitment
        if config.codebooks == "gradient":
            side = side + config.loss.codebook * codebook
        figures["commitment"] = commitment.detach()
    y = run_decoder(model.decoder, z, dtype)[:, 0]
    x = x[:, : y.shape[1]].contiguous()  # a symmetric decoder with odd strides gives fewer samples
    leaf = y.detach().requires_grad_()
    terms = losses(x, leaf)
    if adversarial is not None:
        terms |= adversarial(x, leaf)
    gradient = balanced(terms, dataclasses.asdict(config.loss), leaf, keep)
    outputs, weights = [y], [gradient * share]
    if used is not None:
        outputs, weights = [y, side], [gradient * share, torch.full_like(side, share)]
    # Not backward(): parts would add up their gradients in a random order.
    gradients = torch.autograd.grad(outputs, parameters, weights, allow_unused=True)
    figures |= {name: value.detach().mean() for name, value in terms.items()}
    return Pass(gradients, figures, leaf.detach(), None if codes is None else codes.detach(), latents)
