"""The adversarial phase: DAC's multi-period and multi-resolution discriminators, and their losses.

Knows: what a discriminator sees, least-squares losses, feature matching. Does not know: when the phase begins, or how
these losses are weighted against the others.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from .config import TrainConfig
from .device import discriminator_layers
from .steps.ranks import Ranks

PERIODS = (2, 3, 5, 7, 11)
WINDOWS = (2048, 1024, 512)
GREATEST_NORM = 10.0  #: the greatest norm of the discriminators' gradient in a step
SLOPE = 0.1  #: of the leaky ReLUs
#: How a layer is computed: a convolution, its input, and the slope of the leaky ReLU after it; None: there is none.
LayerFunction: TypeAlias = Callable[[nn.Module, Tensor, float | None], Tensor]
BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


def _conv(cin: int, cout: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Module:
    conv: nn.Module = weight_norm(nn.Conv2d(cin, cout, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
    return conv


def plain(conv: nn.Module, x: Tensor, slope: float | None) -> Tensor:
    """A `LayerFunction` in torch's own operations."""
    x = conv(x)
    if slope is None:
        return x
    x = F.leaky_relu(x, slope)
    # Convolutions are faster on a GPU with the channels last, and keep that layout.
    return x.contiguous(memory_format=torch.channels_last) if x.is_cuda else x


class Period(nn.Module):
    """Sees every ``period``-th sample side by side. Shape: ``[B, T]`` → feature maps; the last one is the decision."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        sizes = [1, width, 4 * width, 16 * width, 32 * width, 32 * width]
        strides = [3, 3, 3, 3, 1]
        self.layers = nn.ModuleList(
            _conv(a, b, (5, 1), (s, 1)) for a, b, s in zip(sizes, sizes[1:], strides, strict=False)
        )
        self.last = _conv(sizes[-1], 1, (3, 1))

    def forward(self, x: Tensor, compute: LayerFunction = plain) -> list[Tensor]:
        x = F.pad(x[:, None], (0, -x.shape[-1] % self.period), mode="reflect")
        maps = _maps(x.view(x.shape[0], 1, -1, self.period), list(self.layers), compute)
        return [*maps, compute(self.last, maps[-1], None)]


class Resolution(nn.Module):
    """Sees a complex spectrum, band by band. Shape: ``[B, T]`` → feature maps; the last one is the decision."""

    window: Tensor

    def __init__(self, window: int, width: int) -> None:
        super().__init__()
        self.size = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        bins = window // 2 + 1
        self.bands = [(int(low * bins), int(high * bins)) for low, high in BANDS]

        def stack() -> nn.ModuleList:
            down = [_conv(width, width, (3, 9), (1, 2)) for _ in range(3)]
            return nn.ModuleList([_conv(2, width, (3, 9)), *down, _conv(width, width, (3, 3))])

        self.stacks = nn.ModuleList(stack() for _ in BANDS)
        self.last = _conv(width, 1, (3, 3))

    def forward(self, x: Tensor, compute: LayerFunction = plain) -> list[Tensor]:
        spectrum = torch.stft(x, self.size, self.size // 4, window=self.window, return_complex=True)
        image = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [B, 2, frames, bins]
        maps, ends = [], []
        for (low, high), stack in zip(self.bands, self.stacks, strict=True):
            assert isinstance(stack, nn.ModuleList)
            features = _maps(image[..., low:high], list(stack), compute)
            maps += features
            ends.append(features[-1])
        return [*maps, compute(self.last, torch.cat(ends, -1), None)]


def _maps(x: Tensor, layers: list[nn.Module], compute: LayerFunction) -> list[Tensor]:
    maps = []
    for layer in layers:
        x = compute(layer, x, SLOPE)
        maps.append(x)
    return maps


class Discriminators(nn.Module):
    """All discriminators. Shape: ``[B, T]`` → a list of feature maps from each, or from ``only`` one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        periods = [Period(period, width) for period in PERIODS]
        self.all = nn.ModuleList([*periods, *(Resolution(window, width) for window in WINDOWS)])

    def forward(self, x: Tensor, compute: LayerFunction = plain, only: int | None = None) -> list[list[Tensor]]:
        # As in DAC: without a mean and with a peak of 0.8, so that the level gives nothing away.
        x = x - x.mean(-1, keepdim=True)
        x = 0.8 * x / (x.abs().amax(-1, keepdim=True) + 1e-9)
        return [discriminator(x, compute) for discriminator in (self.all if only is None else [self.all[only]])]


Maps = list[list[Tensor]]  #: of every discriminator


def discriminator_loss(discriminators: Callable[[Tensor], Maps], x: Tensor, y: Tensor) -> Tensor:
    """The loss of the discriminators, for the original ``x`` and the detached reconstruction ``y``."""
    return _their_loss(discriminators(x), discriminators(y.detach()))


def optimizer_of(discriminators: Discriminators, config: TrainConfig) -> torch.optim.AdamW:
    """A new optimiser of the discriminators."""
    return torch.optim.AdamW(discriminators.parameters(), config.discriminator_lr, config.betas, weight_decay=0.0)


def train_discriminators(
    discriminators: Discriminators, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, ranks: Ranks,
    workers: Executor,
) -> None:  # fmt: skip
    """A step of the discriminators on originals ``x`` and reconstructions ``y``, this process' part of the batch.

    Without a finite gradient it changes nothing. ``workers`` share the discriminators, whose gradients are their own.
    """
    discriminators.requires_grad_(True)
    optimizer.zero_grad()

    def gradients_of(number: int) -> tuple[Tensor, ...]:
        loss = discriminator_loss(partial(discriminators, only=number), x, y)
        return torch.autograd.grad(loss, list(discriminators.all[number].parameters()))

    each = list(workers.map(gradients_of, range(len(discriminators.all))))
    for discriminator, theirs in zip(discriminators.all, each, strict=True):
        for parameter, gradient in zip(discriminator.parameters(), theirs, strict=True):
            parameter.grad = gradient
    gradients = [p.grad for p in discriminators.parameters() if p.grad is not None]
    if ranks.world > 1:
        torch._foreach_div_(gradients, ranks.world)
        ranks.sum_(*gradients)
    norm = nn.utils.clip_grad_norm_(discriminators.parameters(), GREATEST_NORM)
    if bool(torch.isfinite(norm)):  # all processes have the same one
        optimizer.step()
    discriminators.requires_grad_(False)


def codec_losses(discriminators: Discriminators, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The losses of the codec, ``adversarial`` and ``feature``, each ``[B]``."""
    with torch.no_grad():
        wanted = discriminators(x)
    return _codec_losses(wanted, discriminators(y))


def all_losses(
    discriminators: Discriminators, x: Tensor, y: Tensor, dtype: torch.dtype
) -> tuple[dict[str, Tensor], Tensor]:
    """`codec_losses` and `discriminator_loss`, from the same maps: each signal is looked at once.

    Both belong to the discriminators as they are. So they may be moved only after both gradients were taken, that of
    the codec with respect to ``y``, and their own with respect to their parameters.

    Args:
        dtype: of the convolutions; the losses are float32.
    """
    if x.is_cuda and (kernels := discriminator_layers.on_gpu()[0]) is not None:
        return fused_losses(discriminators, x, y, dtype, kernels)
    with parametrize.cached(), torch.autocast(x.device.type, dtype, enabled=dtype != x.dtype, cache_enabled=False):
        real, fake = discriminators(x), discriminators(y)
    return _codec_losses([[each.detach() for each in maps] for maps in real], fake), _their_loss(real, fake)


def fused_losses(
    discriminators: Discriminators, x: Tensor, y: Tensor, dtype: torch.dtype, kernels: Any
) -> tuple[dict[str, Tensor], Tensor]:
    """`all_losses` with the ``kernels`` of a GPU."""
    compute = discriminator_layers.OnCard(dtype, kernels)
    with parametrize.cached():
        real, fake = discriminators(x, compute), discriminators(y, compute)
    return {"adversarial": _adversarial(fake), "feature": compute.feature}, _their_loss(real, fake)


def _their_loss(real: Maps, fake: Maps) -> Tensor:
    loss = real[0][-1].new_zeros((), dtype=torch.float32)
    for a, b in zip(real, fake, strict=True):
        loss = loss + (1 - a[-1].float()).square().mean() + b[-1].float().square().mean()
    return loss


def _codec_losses(real: Maps, fake: Maps) -> dict[str, Tensor]:
    feature = fake[0][-1].new_zeros(fake[0][-1].shape[0], dtype=torch.float32)
    for wanted, maps in zip(real, fake, strict=True):
        for a, b in zip(wanted[:-1], maps[:-1], strict=True):
            feature = feature + (a - b).abs().flatten(1).mean(1, dtype=torch.float32)
    return {"adversarial": _adversarial(fake), "feature": feature}


def _adversarial(fake: Maps) -> Tensor:
    loss = fake[0][-1].new_zeros(fake[0][-1].shape[0], dtype=torch.float32)
    for maps in fake:
        loss = loss + (1 - maps[-1].float()).square().flatten(1).mean(1)
    return loss
