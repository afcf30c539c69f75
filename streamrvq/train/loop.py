"""The loop: a batch, its losses, a step of the optimiser, and the codebooks at the steps where they are made.

Knows: the order of things in a run, and what its state is. Does not know: files, progress bars.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..engine.torch_threads import asked_threads
from ..errors import WeightsError
from ..nn import CodecModel
from ..system.cores import available_cores
from ..system.foreign_data import foreign_data
from ..weights import Weights
from .adversarial import Discriminators, codec_losses, discriminator_loss
from .balance import balanced
from .codebooks import RunningMeans, make_codebooks
from .config import TrainConfig
from .data import Crops
from .fast import run_decoder, run_encoder
from .losses import Losses
from .optimizer import Optimizer
from .start import set_first_values


@dataclasses.dataclass(frozen=True)
class _Part:
    """A shard's result: gradients of `Trainer.parameters`, figures, output ``[b, T]``, and codes and latents if any."""

    gradients: tuple[Tensor | None, ...]
    figures: dict[str, float]
    y: Tensor
    codes: Tensor | None
    latents: Tensor | None


_MAX_LOST = 10  #: steps in a row without a finite gradient
_UNSEEN = 1 << 40  #: codebooks are made from the batches of this step and later ones, which no run reaches


class Trainer:
    """A training run in memory.

    Args:
        config: of the run.
        crops: its batches.
        device: "cpu" or "cuda".
        threads: cores for each shard.
        weights: to continue from; None: first values (start.py). Optimiser and running means always start afresh.

    Raises:
        WeightsError: ``weights`` belong to another codec than ``config.codec``.

    Attributes:
        model: the codec in training.
        average: the running mean of its weights, which is validated and exported.
        step: how many optimiser steps are done.
        continued: whether the run began with ``weights``, and so has codebooks at step 0.
    """

    def __init__(
        self, config: TrainConfig, crops: Crops, device: str = "cpu", threads: int = 1, weights: Weights | None = None
    ) -> None:
        if weights is not None:
            config = dataclasses.replace(config, plain_steps=0)
        self.config, self.crops, self.device = config, crops, torch.device(device)
        self.step = self._lost = 0
        torch.manual_seed(config.seed)
        self.continued = weights is not None
        self.model = self._new_model() if weights is None else _continued(config, weights)
        self.model.to(self.device)
        for level in self.model.quantizer.quantizers:
            level.codebook.weight.requires_grad_(config.codebooks == "gradient")  # type: ignore[union-attr]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.losses = Losses(config.codec.sample_rate, config.stft_windows).to(self.device)
        self.running_means = RunningMeans(self.model.quantizer, config.codebook_decay, config.expire)
        if self.continued:
            self._find_shares()
        self.optimizer = Optimizer(self.model, self.config)
        # Shards wait for each other once in a step. Threads inside operations would do so thousands of times.
        if asked_threads() is None:  # torch's own number for this thread knows nothing of a quota
            torch.set_num_threads(min(torch.get_num_threads(), available_cores()))
        self.workers = ThreadPoolExecutor(config.shards, "shard", torch.set_num_threads, (threads,))
        self.discriminators: Discriminators | None = None
        if config.adversarial_from is not None:
            self.discriminators = Discriminators(config.discriminator_width).to(self.device).requires_grad_(False)
            self.judge_optimizer = torch.optim.AdamW(
                self.discriminators.parameters(), config.discriminator_lr, config.betas, weight_decay=0.0
            )

    @property
    def dtype(self) -> torch.dtype:
        """The type that the convolutions compute in."""
        return torch.bfloat16 if self.config.precision == "bf16" else torch.float32

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the optimiser moves."""
        return [p for p in self.model.parameters() if p.requires_grad]

    @property
    def _is_adversarial(self) -> bool:
        return self.config.adversarial_from is not None and self.step >= self.config.adversarial_from

    @property
    def quantised(self) -> bool:
        """Whether the codebooks have been made."""
        return self.step > self.config.plain_steps or self.continued

    def rate(self, step: int) -> float:
        """The factor on the learning rates in a step."""
        config = self.config
        since = step if step < config.plain_steps else step - config.plain_steps
        warm = min(1.0, (since + 1) / max(1, config.warmup))
        start = config.decay_from * config.steps
        done = min(1.0, max(0.0, (step - start) / max(1.0, config.steps - start)))
        return warm * (config.lr_final + (1 - config.lr_final) * 0.5 * (1 + math.cos(math.pi * done)))

    def train_step(self, batch: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
        """Train one step on ``batch [B, samples]``. Returns the means of its losses.

        A step without a finite gradient changes nothing.

        Raises:
            WeightsError: there were many such steps in a row.
        """
        config, step = self.config, self.step
        again = step > config.plain_steps and step in [round(share * config.steps) for share in config.codebooks_again]
        if again or (step == config.plain_steps and not self.continued):
            self._make_codebooks()
        x = torch.from_numpy(batch).to(self.device)
        self.model.train()
        parts = list(self.workers.map(self._gradients, range(config.shards), x.chunk(config.shards)))
        for parameter, *grads in zip(self.parameters, *(part.gradients for part in parts), strict=True):
            parameter.grad = sum(grads[1:], start=grads[0]) if grads[0] is not None else None
        used = [parameter for parameter in self.parameters if parameter.grad is not None]
        norm = nn.utils.clip_grad_norm_(used, config.clip)
        if bool(torch.isfinite(norm)):
            self._move(x, parts)
            self._lost = 0
        else:
            self._lost += 1
        if self._lost == _MAX_LOST:
            raise WeightsError(
                f"the gradient of {_MAX_LOST} steps to {step} is {float(norm)}; wanted a finite one: continue from "
                "an older checkpoint with a lower lr"
            )
        self.step += 1
        figures = {name: sum(part.figures[name] for part in parts) / len(parts) for name in parts[0].figures}
        return figures | {"gradient": float(norm)}

    def _move(self, x: Tensor, parts: list[_Part]) -> None:
        self.optimizer.step(self.rate(self.step), self.workers)
        if self.discriminators is not None and self._is_adversarial:
            self._train_discriminators(x, torch.cat([part.y for part in parts]))
        self._follow(parts)

    def _gradients(self, shard: int, x: Tensor) -> _Part:
        """Forward and backward pass on a part ``x [b, T]`` of the batch. It changes nothing that other shards read."""
        config = self.config
        z = run_encoder(self.model.encoder, x[:, None], self.dtype)
        quantise = self.step >= config.plain_steps
        codes = latents = None
        side = z.new_zeros(())
        figures = {}
        if quantise:
            generator = torch.Generator().manual_seed((config.seed * 1_000_003 + self.step) * 64 + shard)
            z, codes, latents, commitment, codebook = self.model.quantizer(z, generator=generator)
            side = config.loss.commitment * commitment
            if config.codebooks == "gradient":
                side = side + config.loss.codebook * codebook
            figures["commitment"] = float(commitment.detach())
        y = run_decoder(self.model.decoder, z, self.dtype)[:, 0]
        leaf = y.detach().requires_grad_()
        losses = self.losses(x, leaf)
        if self.discriminators is not None and self._is_adversarial:
            losses |= codec_losses(self.discriminators, x, leaf)
        gradient = balanced(losses, dataclasses.asdict(config.loss), leaf)
        share = 1 / config.shards
        outputs, weights = [y], [gradient * share]
        if quantise:
            outputs, weights = [y, side], [gradient * share, torch.full_like(side, share)]
        # Not backward(): shards would add up their gradients in a random order.
        gradients = torch.autograd.grad(outputs, self.parameters, weights, allow_unused=True)
        figures |= {name: float(value.detach().mean()) for name, value in losses.items()}
        return _Part(gradients, figures, leaf.detach(), codes, latents)

    def _train_discriminators(self, x: Tensor, y: Tensor) -> None:
        assert self.discriminators is not None
        self.discriminators.requires_grad_(True)
        self.judge_optimizer.zero_grad()
        discriminator_loss(self.discriminators, x, y).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), 10.0)
        self.judge_optimizer.step()
        self.discriminators.requires_grad_(False)

    @torch.no_grad()
    def _follow(self, parts: list[_Part]) -> None:
        """Move the entries towards their latents, and the average towards the weights."""
        replaced = []
        if all(part.codes is not None for part in parts):
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
            codes = torch.cat([part.codes for part in parts if part.codes is not None])
            latents = torch.cat([part.latents for part in parts if part.latents is not None])
            replaced = self.running_means.update(codes, latents, self.config.codebooks == "ema", generator)
        # At first the mean covers only a few steps, so the decay grows to its value.
        since = self.step if self.step < self.config.plain_steps else self.step - self.config.plain_steps
        decay = min(self.config.ema, (since + 1) / (since + 10))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for i, dead in enumerate(replaced):
            level, average = self.model.quantizer._level(i), self.average.quantizer._level(i)
            average.codebook.weight[dead] = level.codebook.weight[dead]

    def _unseen_crops(self) -> Iterator[Tensor]:
        """Batches ``[B, samples]`` that no step trains on, with at least `codebook_frames` frames in all."""
        for i in range(-(-self.config.codebook_frames // (self.config.batch * self.config.frames))):
            yield torch.from_numpy(self.crops.batch(_UNSEEN + i))

    def _new_model(self) -> CodecModel:
        model = CodecModel(self.config.codec, weight_norm=False)
        set_first_values(model, torch.cat(list(self._unseen_crops())))
        return model

    @torch.no_grad()
    def _latents(self) -> Iterator[Tensor]:
        """The latents ``[B, D, frames]`` of `_unseen_crops`."""
        self.model.eval()
        for x in self._unseen_crops():
            yield run_encoder(self.model.encoder, x.to(self.device)[:, None], self.dtype)

    def _make_codebooks(self) -> None:
        """Make the codebooks from data. The first time, optimiser and average start afresh."""
        z = torch.cat([z.transpose(1, 2).reshape(-1, z.shape[1]).cpu() for z in self._latents()])
        quantizer = copy.deepcopy(self.model.quantizer).cpu()
        shares = make_codebooks(quantizer, z, torch.Generator().manual_seed(self.config.seed), self.config.pole)
        self.model.quantizer.load_state_dict(quantizer.state_dict())
        self.average.quantizer.load_state_dict(quantizer.state_dict())
        self._start_running_means(shares)
        if not self.quantised:
            self.average.load_state_dict(self.model.state_dict())
            self.optimizer = Optimizer(self.model, self.config)

    @torch.no_grad()
    def _find_shares(self) -> None:
        """Measure how often the entries of the existing codebooks are used."""
        codes = torch.cat([self.model.quantizer(z)[1].transpose(0, 1).flatten(1) for z in self._latents()], 1)
        size = self.config.codec.codebook_size
        self._start_running_means([torch.bincount(level, minlength=size).float() / level.numel() for level in codes])

    def _start_running_means(self, shares: list[Tensor]) -> None:
        self.running_means = RunningMeans(self.model.quantizer, self.config.codebook_decay, self.config.expire)
        self.running_means.start(shares)

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to continue exactly where the run was."""
        state = {
            "config": self.config.to_dict(), "step": self.step, "model": self.model.state_dict(),
            "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
            "followers": self.running_means.state(),
        }  # fmt: skip
        if self.discriminators is not None:
            state |= {"judges": self.discriminators.state_dict(), "judge_optimizer": self.judge_optimizer.state_dict()}
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`. If it has no discriminators, they start afresh.

        Raises `WeightsError` for a state of another run. What was loaded before it was found stays.
        """
        with foreign_data(WeightsError, "the run's state", "wanted one of this configuration: start in another folder"):
            self.step = int(state["step"])
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.running_means.load(state["followers"])
            if self.discriminators is not None and "judges" in state:
                self.discriminators.load_state_dict(state["judges"])
                self.judge_optimizer.load_state_dict(state["judge_optimizer"])


def _continued(config: TrainConfig, weights: Weights) -> CodecModel:
    if dataclasses.replace(weights.config, quantizer_dropout=config.codec.quantizer_dropout) != config.codec:
        raise WeightsError(
            f"the weights {weights.name} are of another codec than the configuration's; wanted its shape: "
            "train a configuration whose [codec] is theirs, or begin without weights"
        )
    model = CodecModel.from_weights(weights)
    model.quantizer.quantizer_dropout = config.codec.quantizer_dropout
    return model
