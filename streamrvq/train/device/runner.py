"""Feeds the steps on a GPU and reads their figures.

A thread makes plans ahead. The host copies a step's plan into pinned memory, and launches a copy and a graph. It waits
only for the step three before that one, so the GPU always has a step to do.

Knows: slots, streams, when figures are read. Does not know: what a step computes (step.py).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from .. import losses, snake
from ..steps.ahead import ahead
from ..steps.plan import Plan
from ..steps.schedule import average_decay, chosen_frames, rate_factor, used_by_rows
from . import convolution, discriminator_layers
from .crops import DeviceCrops
from .gpu import set_for_gpu, trying
from .graphs import Captured
from .inputs import Inputs
from .operations import Operations
from .peak import peak
from .step import DeviceStep
from .tally import Reading, Tally
from .trained import Trained

_SLOTS = 3  #: steps whose inputs are on the host: one that is computed, one that waits, one that is filled
_AHEAD = 8  #: plans that wait
_COUNTED = 2  #: the call in which operations are counted; the first one makes states
_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Prepared:
    """The inputs of a step."""

    step: int
    plan: Plan
    used: Tensor
    chosen: Tensor


class Runner:
    """Runs the steps of ``trainer``.

    Args:
        trainer: whose device is used, mostly a GPU; its codebooks and first values are made elsewhere.
        remark: is told what people should know.

    Attributes:
        flops: operations in a step of each kind, with and without quantiser and discriminators.
        longest_wait: seconds after which figures are read though no row of the log is due.

    Raises:
        ConfigError: the corpus does not fit on the GPU.
    """

    def __init__(self, trainer: Trained, remark: Callable[[str], None]) -> None:
        config, device = trainer.config, trainer.device
        self._trainer, self._remark = trainer, remark
        self._stream: torch.cuda.Stream | None = None
        self._name = "cpu"
        if device.type == "cuda":
            set_for_gpu()
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._name = torch.cuda.get_device_name(device)
            parts = [("Snake", snake.on_gpu), ("convolutions", convolution.on_gpu)]
            parts.append(("spectral losses", losses.on_gpu))
            if config.adversarial_from is not None:
                parts.append(("discriminators", discriminator_layers.on_gpu))
            for what, (kernels, why) in ((name, tried()) for name, tried in parts):
                if kernels is None:
                    remark(f"{what}: without Triton kernels, which is slower: {why}")
        entries = config.codec.n_codebooks * config.codec.codebook_size
        self._rows = trainer.ranks.rows(config.batch)
        batch = config.batch // trainer.ranks.world
        self._inputs = Inputs.empty(batch, entries, device)
        on_host = torch.device("cpu")
        self._slots = [Inputs.empty(batch, entries, on_host, self._stream is not None) for _ in range(_SLOTS)]
        self._free: list[torch.cuda.Event | None] = [None] * _SLOTS
        self._cut = DeviceCrops(trainer.crops, device)
        self._tally = Tally(device, trainer.ranks)
        self._graphs: dict[tuple[bool, bool], Captured] = {}
        self._names: dict[tuple[bool, bool], set[str]] = {}
        self.flops: dict[tuple[bool, bool], int] = {}
        self._number, self._read_at, self.longest_wait = 0, time.monotonic(), _SECONDS

    def prepare(self, step: int) -> Prepared:
        """The inputs of ``step``. For any thread."""
        config, quantizer = self._trainer.config, self._trainer.model.quantizer
        used = used_by_rows(config, quantizer, step, self._rows)
        return Prepared(step, self._trainer.crops.plan(step).part(self._rows), used, chosen_frames(config, step))

    def batches(self, first: int, last: int) -> Generator[Prepared, None, None]:
        """The inputs of the steps ``first … last − 1``, made ahead of time by a thread."""
        return ahead(self.prepare, first, last, _AHEAD)

    def renew(self) -> None:
        """Forget what was captured: the trainer has other tensors now, or another phase begins."""
        if self._stream is not None:
            self._stream.synchronize()
        self._graphs.clear()

    @property
    def is_settled(self) -> bool:
        """Whether the last step was one of many that are alike."""
        graph = self._graphs.get(self._key)
        return graph is not None and graph.is_settled

    @property
    def operations(self) -> float | None:
        """Floating-point operations of matrix products and convolutions in a step; None: not counted yet."""
        return self.flops.get(self._key)

    @property
    def peak(self) -> float | None:
        """Operations a second that the GPU can do in the precision of the convolutions; None: not known."""
        return peak(self._name, self._trainer.dtype)

    @property
    def streak(self) -> int:
        """How many of the last steps in a row had no finite gradient. Waits for the device."""
        return self._tally.streak

    @property
    def _key(self) -> tuple[bool, bool]:
        trainer = self._trainer
        return trainer.step >= trainer.config.plain_steps, trainer.is_adversarial

    def run(self, prepared: Prepared) -> None:
        """Launch a step."""
        trainer, slot, free = self._trainer, self._slots[self._number % _SLOTS], self._free[self._number % _SLOTS]
        if free is not None:
            free.synchronize()
        config, step = trainer.config, prepared.step
        follow = 1 - average_decay(config, step)
        slot.fill(prepared.plan, prepared.used, prepared.chosen, rate_factor(config, step), follow)
        if self._stream is None:
            self._launch(slot)
        else:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream), trying():
                self._launch(slot)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(self._stream)
            self._free[self._number % _SLOTS] = event
            torch.cuda.current_stream().wait_stream(self._stream)
        self._number += 1

    def _launch(self, slot: Inputs) -> None:
        key = self._key
        self._inputs.take(slot)
        if key not in self._graphs:
            quantise, adversarial = key
            self.renew()  # and free its memory: a phase that is over does not come back
            step = DeviceStep(self._trainer, self._cut, self._inputs, self._tally, quantise, adversarial)
            self._graphs[key] = Captured(step, self._stream, self._remark)
            self._names[key] = step.names
        graph = self._graphs[key]
        if graph.calls + 1 == _COUNTED and key not in self.flops:
            with Operations() as counter:
                graph()
            self.flops[key] = counter.total
        else:
            graph()
        self._tally.count(self._names[key])

    def is_due(self, step: int) -> bool:
        """Whether the figures should be read after ``step`` steps: for the log, or because it was long ago.

        Several processes read together, and their clocks differ: there only the log counts.
        """
        if step % self._trainer.config.log_every == 0:
            return True
        return self._trainer.ranks.world == 1 and time.monotonic() - self._read_at > self.longest_wait

    def read(self) -> Reading:
        """The figures since the last reading. Waits for the device."""
        reading = self._tally.read()
        self._read_at = time.monotonic()
        if math.isfinite(reading.norm):
            return reading
        return dataclasses.replace(reading, norm=math.nan)
