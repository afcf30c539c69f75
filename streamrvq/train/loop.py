"""The loop: a batch, its losses, a step of the optimiser, and the codebooks at the steps where they are made.

Knows: the order of things in a run, and what its state is. Does not know: files, progress bars.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ..engine.torch_threads import StepThreads, asked_threads, on_own_threads
from ..errors import WeightsError
from ..nn import CodecModel
from ..system.cores import available_cores
from ..system.foreign_data import foreign_data
from ..weights import Weights
from .adversarial import Discriminators, codec_losses, optimizer_of, train_discriminators
from .codebooks import RunningMeans
from .config import TrainConfig
from .data import Crops
from .device.runner import Prepared, Runner
from .losses import Losses
from .optimizer import Optimizer
from .runs.began import settings_of
from .runs.effort import check_threads
from .steps.lost import MAX_LOST, left_half_done, lost_too_many
from .steps.passes import Pass, run_pass
from .steps.ranks import ALONE, Ranks
from .steps.schedule import average_decay, chosen_frames, rate_factor, used_by_rows
from .steps.state import state_of, take_state
from .unseen import Unseen, model_of

Batch: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]  #: crops [B, samples]


class Trainer:
    """A training run in memory.

    Args:
        config: of the run.
        crops: its batches.
        device: "cpu" or "cuda".
        threads: cores for each shard.
        weights: to begin with; None: first values (start.py), or those of `load`. Optimiser and means start afresh.
        remark: is told what people should know.
        ranks: who else trains the same run, each with a part of every batch.
        waits: whether the host waits for each step, as on a CPU; None: yes, except on a GPU (device/).

    Raises:
        WeightsError: ``weights`` belong to another codec than ``config.codec``.
        ConfigError: the corpus does not fit on the GPU; ``threads`` that cannot be; or as `Losses` and `Optimizer`.

    Attributes:
        model: the codec in training.
        average: the running mean of its weights, which is validated and exported.
        step: how many optimiser steps are done.
        whole: False while a step changes the state, and after one that was left half done.
        runner: runs the steps without waiting for each; None: the host does.
        continued: whether the run began with ``weights``, and so has codebooks at step 0.
        unseen: the crops that first values and codebooks are made from.
    """

    def __init__(
        self, config: TrainConfig, crops: Crops, device: str = "cpu", threads: int = 1, weights: Weights | None = None,
        remark: Callable[[str], None] = lambda text: None, ranks: Ranks = ALONE, waits: bool | None = None,
    ) -> None:  # fmt: skip
        check_threads(threads)
        config = settings_of(config, weights is not None)
        self.config, self.crops, self.device, self.ranks = config, crops, torch.device(device), ranks
        self.step = self._lost = 0
        self.continued = weights is not None
        self._weights, self._begun, self.whole = weights, False, True
        self.unseen = Unseen(config, crops, self.dtype)
        # Its values are set by `begin` or `load`.
        self.model = CodecModel(config.codec, weight_norm=False) if weights is None else model_of(weights, config)
        self.model.to(self.device)
        for level in self.model.quantizer.quantizers:
            level.codebook.weight.requires_grad_(config.codebooks == "gradient")  # type: ignore[union-attr]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.losses = Losses(config.codec.sample_rate, config.stft_windows).to(self.device)
        self.running_means = self._new_running_means()
        self.optimizer = Optimizer(self.model, self.config)
        # Shards wait for each other once in a step. Threads inside operations would do so thousands of times.
        if asked_threads() is None:  # torch's own number for this thread knows nothing of a quota
            torch.set_num_threads(min(torch.get_num_threads(), available_cores()))
        self.workers = ThreadPoolExecutor(config.shards, "shard", torch.set_num_threads, (threads,))
        # What is summed here must not depend on the cores of a machine either. A GPU's bits are its own anyway.
        self._threads = StepThreads(threads if self.device.type == "cpu" else torch.get_num_threads())
        self.discriminators: Discriminators | None = None
        waits = self.device.type != "cuda" if waits is None else waits
        self.runner = None if waits else Runner(self, remark)

    @on_own_threads
    def begin(self) -> None:
        """Set the first values. `train_step` does it if need be. A run that is loaded has no use for them.

        An exception from ``unseen.watch`` ends it; then it may be called again.
        """
        torch.manual_seed(self.config.seed)
        model = self.unseen.first_values() if self._weights is None else model_of(self._weights, self.config)
        self.model.load_state_dict(model.state_dict())
        self.average.load_state_dict(model.state_dict())
        self.running_means = self._new_running_means()
        if self.continued:
            self.running_means.start(self.unseen.shares(self.model))
        self._make_discriminators()
        self._take_new_values()
        self._begun = True

    def _make_discriminators(self) -> None:
        if self.config.adversarial_from is not None:
            self.discriminators = Discriminators(self.config.discriminator_width).to(self.device).requires_grad_(False)
            self.discriminator_optimizer = optimizer_of(self.discriminators, self.config)

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

    @property
    def lost(self) -> int:
        """How many of the last steps in a row had no finite gradient, and so changed nothing."""
        return self._lost if self.runner is None else self.runner.streak

    def batches(self, first: int, last: int) -> Generator[Batch | Prepared, None, None]:
        """What `train_step` takes in the steps ``first … last − 1``. A thread prepares it."""
        if self.runner is not None:
            return self.runner.batches(first, last)
        return self.crops.batches(first, last, self.ranks.rows(self.config.batch))

    @on_own_threads
    def train_step(self, batch: Batch | Prepared) -> dict[str, float]:
        """Train one step on ``batch``, of `batches`. Returns the means of its losses.

        With a runner they are the means since they were returned last, and mostly there are none: it is not waited for.
        A step without a finite gradient changes nothing.

        Raises:
            WeightsError: there were many such steps in a row, or an exception left a step half done.
        """
        config, step = self.config, self.step
        if not self.whole:
            raise left_half_done(step)
        if not self._begun:
            self.begin()
        again = step > config.plain_steps and step in [round(share * config.steps) for share in config.codebooks_again]
        if again or (step == config.plain_steps and not self.continued):
            self._make_codebooks()
        self.model.train()
        if isinstance(batch, Prepared):
            return self._launch(batch)
        x = torch.from_numpy(batch).to(self.device)
        parts = list(self.workers.map(self._run_shard, range(config.shards), x.chunk(config.shards)))
        for parameter, *grads in zip(self.parameters, *(part.gradients for part in parts), strict=True):
            parameter.grad = sum(grads[1:], start=grads[0]) if grads[0] is not None else None
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        self.ranks.sum_(*(parameter.grad for parameter in moved if parameter.grad is not None))
        norm = nn.utils.clip_grad_norm_(moved, config.clip)
        if bool(torch.isfinite(norm)):
            self._move(x, parts)
            self._lost = 0
        else:
            self._lost += 1
        if self._lost == MAX_LOST:
            raise lost_too_many(step, float(norm))
        self.step, self.whole = step + 1, True  # in this order: between the two it is not whole
        figures = [sum(float(part.figures[name]) for part in parts) / len(parts) for name in parts[0].figures]
        means = self.ranks.mean(torch.tensor(figures, dtype=torch.float64)).tolist()
        return dict(zip(parts[0].figures, means, strict=True)) | {"gradient": float(norm)}

    def _launch(self, batch: Prepared) -> dict[str, float]:
        assert self.runner is not None
        self.whole = False
        self.runner.run(batch)
        self.step, self.whole = self.step + 1, True
        if not self.runner.is_due(self.step):
            return {}
        reading = self.runner.read()
        if reading.longest >= MAX_LOST:
            raise lost_too_many(self.step - 1, reading.norm)
        return reading.figures | ({"lost": reading.lost / reading.steps} if reading.lost else {})

    def _move(self, x: Tensor, parts: list[Pass]) -> None:
        self.whole = False
        self.optimizer.step(rate_factor(self.config, self.step), self.workers)
        if self.discriminators is not None and self.is_adversarial:
            y = torch.cat([part.y for part in parts])
            optimizer, x = self.discriminator_optimizer, x[:, : y.shape[1]]
            train_discriminators(self.discriminators, optimizer, x, y, self.ranks, self.workers)
        self._follow(parts)

    def _run_shard(self, shard: int, x: Tensor) -> Pass:
        """Forward and backward pass on a part ``x [b, T]`` of the batch."""
        quantise = self.step >= self.config.plain_steps
        used = None
        if quantise:
            rows = self.ranks.rows(self.config.batch)
            used = used_by_rows(self.config, self.model.quantizer, self.step, rows).chunk(self.config.shards)[shard]
        more = partial(codec_losses, self.discriminators) if self.discriminators and self.is_adversarial else None
        return run_pass(self.model, self.parameters, self.losses, self.config, x, self.dtype, used=used,
                        adversarial=more, share=1 / (self.config.shards * self.ranks.world))  # fmt: skip

    @torch.no_grad()
    def _follow(self, parts: list[Pass]) -> None:
        """Move the entries towards their latents, and the average towards the weights."""
        replaced = None
        if all(part.codes is not None for part in parts):
            codes = torch.cat([part.codes for part in parts if part.codes is not None])
            latents = torch.cat([part.latents for part in parts if part.latents is not None])
            move = self.config.codebooks == "ema"
            replaced = self.running_means.update(codes, latents, move, chosen_frames(self.config, self.step))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.model.parameters()), 1 - average_decay(self.config, self.step)
        )
        if replaced is not None:
            self.take_replaced(replaced)

    def take_replaced(self, replaced: Tensor) -> None:
        """Give the average the entries that were ``replaced [K, size]``."""
        for i, dead in enumerate(replaced):
            level, average = self.model.quantizer._level(i), self.average.quantizer._level(i)
            average.codebook.weight.copy_(torch.where(dead[:, None], level.codebook.weight, average.codebook.weight))

    def _make_codebooks(self) -> None:
        """Make the codebooks from data. The first time, optimiser and average start afresh."""
        quantizer, shares = self.unseen.codebooks(self.model)
        self.whole = False
        self.model.quantizer.load_state_dict(quantizer.state_dict())
        self.average.quantizer.load_state_dict(quantizer.state_dict())
        self.running_means = self._new_running_means()
        self.running_means.start(shares)
        if not self.quantised:
            self.average.load_state_dict(self.model.state_dict())
            self.optimizer = Optimizer(self.model, self.config)
        self._take_new_values()
        self.whole = True

    def _take_new_values(self) -> None:
        """New values were made: all processes take those of the first, whose roundings may be others."""
        self.ranks.same_(self._values)
        self._renew()

    def _renew(self) -> None:
        if self.runner is not None:
            self.runner.renew()

    def _new_running_means(self) -> RunningMeans:
        return RunningMeans(self.model.quantizer, self.config.codebook_decay, self.config.expire, self.ranks)

    @property
    def _values(self) -> list[Tensor]:
        """The numbers that the next step and an export depend on, without the optimisers'."""
        modules = [self.model, self.average, *([self.discriminators] if self.discriminators is not None else [])]
        values = [value for module in modules for value in module.state_dict().values()]
        return [*values, self.running_means.share, self.running_means.total]

    @property
    def is_finite(self) -> bool:
        """Whether these numbers are finite: of the codec, its average, its codebooks and the discriminators."""
        return all(bool(torch.isfinite(value).all()) for value in self._values)

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to continue exactly where the run was."""
        return state_of(self)

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`. If it has no discriminators, or others in width, they start afresh.

        Raises `WeightsError` for a state of another run. What was loaded before this was found stays.
        """
        with foreign_data(WeightsError, "the run's state", "wanted one of this configuration: start in another folder"):
            torch.manual_seed(self.config.seed)
            self._make_discriminators()
            take_state(self, state)
            self._renew()
            self._begun = self.whole = True
