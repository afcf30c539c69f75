"""The loop: a batch, its losses, a step of the optimiser, and the codebooks at the steps where they are made.

Knows: the order of things in a run, and what its state is. Does not know: files, progress bars.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
from .codebooks import RunningMeans, drawn_frames
from .config import TrainConfig
from .data import Crops
from .losses import Losses
from .optimizer import Optimizer
from .passes import Pass, run_pass
from .unseen import Unseen, model_of


MAX_LOST = 10  #: steps in a row without a finite gradient
JUDGE_CLIP = 10.0  #: the longest gradient of the discriminators


def lost_too_many(step: int, norm: float) -> WeightsError:
    """The error for `MAX_LOST` steps in a row to ``step`` without a finite gradient."""
    return WeightsError(
        f"the gradient of {MAX_LOST} steps in a row to step {step + 1} is {norm}; wanted a finite one: "
        "go on with a lower lr and small_lr"
    )


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
        lost: how many of the last steps in a row had no finite gradient, and so changed nothing.
        continued: whether the run began with ``weights``, and so has codebooks at step 0.
        unseen: the crops that first values and codebooks are made from.
    """

    def __init__(
        self, config: TrainConfig, crops: Crops, device: str = "cpu", threads: int = 1, weights: Weights | None = None
    ) -> None:
        if weights is not None:
            config = dataclasses.replace(config, plain_steps=0)
        self.config, self.crops, self.device = config, crops, torch.device(device)
        self.step = self.lost = 0
        self.continued = weights is not None
        self._weights, self._begun = weights, False
        self.unseen = Unseen(config, crops, self.dtype)
        # Its values are set by `begin` or `load`.
        self.model = CodecModel(config.codec, weight_norm=False) if weights is None else model_of(weights, config)
        self.model.to(self.device)
        for level in self.model.quantizer.quantizers:
            level.codebook.weight.requires_grad_(config.codebooks == "gradient")  # type: ignore[union-attr]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.losses = Losses(config.codec.sample_rate, config.stft_windows).to(self.device)
        self.running_means = RunningMeans(self.model.quantizer, config.codebook_decay, config.expire)
        self.optimizer = Optimizer(self.model, self.config)
        # Shards wait for each other once in a step. Threads inside operations would do so thousands of times.
        if asked_threads() is None:  # torch's own number for this thread knows nothing of a quota
            torch.set_num_threads(min(torch.get_num_threads(), available_cores()))
        self.workers = ThreadPoolExecutor(config.shards, "shard", torch.set_num_threads, (threads,))
        self.discriminators: Discriminators | None = None

    def begin(self) -> None:
        """Set the first values. `train_step` does it if need be. A run that is loaded has no use for them.

        An exception of ``unseen.watch`` ends it; then it may be called again.
        """
        torch.manual_seed(self.config.seed)
        model = self.unseen.first_values() if self._weights is None else model_of(self._weights, self.config)
        self.model.load_state_dict(model.state_dict())
        self.average.load_state_dict(model.state_dict())
        self.running_means = RunningMeans(self.model.quantizer, self.config.codebook_decay, self.config.expire)
        if self.continued:
            self.running_means.start(self.unseen.shares(self.model))
        self._make_discriminators()
        self._begun = True

    def _make_discriminators(self) -> None:
        config = self.config
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
    def is_adversarial(self) -> bool:
        """Whether the next step has discriminators."""
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
        if not self._begun:
            self.begin()
        again = step > config.plain_steps and step in [round(share * config.steps) for share in config.codebooks_again]
        if again or (step == config.plain_steps and not self.continued):
            self._make_codebooks()
        x = torch.from_numpy(batch).to(self.device)
        self.model.train()
        parts = list(self.workers.map(self._run_shard, range(config.shards), x.chunk(config.shards)))
        for parameter, *grads in zip(self.parameters, *(part.gradients for part in parts), strict=True):
            parameter.grad = sum(grads[1:], start=grads[0]) if grads[0] is not None else None
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        norm = nn.utils.clip_grad_norm_(moved, config.clip)
        if bool(torch.isfinite(norm)):
            self._move(x, parts)
            self.lost = 0
        else:
            self.lost += 1
        if self.lost == MAX_LOST:
            raise lost_too_many(step, float(norm))
        self.step += 1
        figures = {name: sum(float(part.figures[name]) for part in parts) / len(parts) for name in parts[0].figures}
        return figures | {"gradient": float(norm)}

    def _move(self, x: Tensor, parts: list[Pass]) -> None:
        self.optimizer.step(self.rate(self.step), self.workers)
        if self.discriminators is not None and self.is_adversarial:
            self._train_discriminators(x, torch.cat([part.y for part in parts]))
        self._follow(parts)

    def _run_shard(self, shard: int, x: Tensor) -> Pass:
        """Forward and backward pass on a part ``x [b, T]`` of the batch."""
        used = self.used_levels(self.step, shard) if self.step >= self.config.plain_steps else None
        judge = partial(codec_losses, self.discriminators) if self.discriminators and self.is_adversarial else None
        return run_pass(self.model, self.parameters, self.losses, self.config, x, self.dtype, used=used, judge=judge,
                        share=1 / self.config.shards)  # fmt: skip

    def used_levels(self, step: int, shard: int) -> Tensor:
        """The levels that each row of a shard uses, on the CPU."""
        generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + step) * 64 + shard)
        return self.model.quantizer.drawn_levels(self.config.batch // self.config.shards, generator)

    def chosen_frames(self, step: int) -> Tensor:
        """The frames of the batch that may replace dead entries, on the CPU."""
        config, codec = self.config, self.config.codec
        count = codec.n_codebooks * codec.codebook_size
        return drawn_frames(count, config.batch * config.frames, config.seed * 1_000_003 + step)

    def _train_discriminators(self, x: Tensor, y: Tensor) -> None:
        assert self.discriminators is not None
        self.discriminators.requires_grad_(True)
        self.judge_optimizer.zero_grad()
        discriminator_loss(self.discriminators, x, y).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), JUDGE_CLIP)
        self.judge_optimizer.step()
        self.discriminators.requires_grad_(False)

    @torch.no_grad()
    def _follow(self, parts: list[Pass]) -> None:
        """Move the entries towards their latents, and the average towards the weights."""
        replaced = None
        if all(part.codes is not None for part in parts):
            codes = torch.cat([part.codes for part in parts if part.codes is not None])
            latents = torch.cat([part.latents for part in parts if part.latents is not None])
            move = self.config.codebooks == "ema"
            replaced = self.running_means.update(codes, latents, move, self.chosen_frames(self.step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.model.parameters()), 1 - self.average_decay(self.step)
        )
        if replaced is not None:
            self.take_replaced(replaced)

    def average_decay(self, step: int) -> float:
        """The decay of the average in a step. At first it covers only a few steps, so the decay grows to its value."""
        since = step if step < self.config.plain_steps else step - self.config.plain_steps
        return min(self.config.ema, (since + 1) / (since + 10))

    def take_replaced(self, replaced: Tensor) -> None:
        """Give the average the entries that were ``replaced [K, size]``."""
        for i, dead in enumerate(replaced):
            level, average = self.model.quantizer._level(i), self.average.quantizer._level(i)
            average.codebook.weight.copy_(torch.where(dead[:, None], level.codebook.weight, average.codebook.weight))

    def _make_codebooks(self) -> None:
        """Make the codebooks from data. The first time, optimiser and average start afresh."""
        quantizer, shares = self.unseen.codebooks(self.model)
        self.model.quantizer.load_state_dict(quantizer.state_dict())
        self.average.quantizer.load_state_dict(quantizer.state_dict())
        self._start_running_means(shares)
        if not self.quantised:
            self.average.load_state_dict(self.model.state_dict())
            self.optimizer = Optimizer(self.model, self.config)

    def _start_running_means(self, shares: list[Tensor]) -> None:
        self.running_means = RunningMeans(self.model.quantizer, self.config.codebook_decay, self.config.expire)
        self.running_means.start(shares)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers are finite that the next step and an export depend on."""
        means = [self.running_means.share, self.running_means.total]
        values = [*self.model.state_dict().values(), *self.average.state_dict().values(), *means]
        return all(bool(torch.isfinite(value).all()) for value in values)

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
            torch.manual_seed(self.config.seed)
            self._make_discriminators()
            self.step = int(state["step"])
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.running_means.load(state["followers"])
            if self.discriminators is not None and "judges" in state:
                self.discriminators.load_state_dict(state["judges"])
                self.judge_optimizer.load_state_dict(state["judge_optimizer"])
            self._begun = True
