"""The CUDA engine: the contract of base.py on a GPU, with the native engine's bits.

Knows: the contract's arguments, and that each direction's plan stays on the device. Does not know: how a step runs
(runner.py, program.py), what a GPU is (device.py).

Every output value is the native engine's chain of fused multiply-adds, operation by operation. So codes, latents,
samples and states are the same bits, and a stream goes on from a snapshot on either engine. README.md says how.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...config import Config
from ...errors import EngineError, InputError
from ...families import plan
from ...geometry import Direction
from ...system.copying import NeverCopied, Shared
from ..base import Codes, Floats, Ints, check_histories, check_step
from ..lacking import CUDA, check_abilities
from .convolutions import Tensors
from .device import Device
from .kept import Kept
from .layout import Shape, roomy
from .quantizer import of_quantizer
from .resident import Resident
from .runner import Runner, bytes_a_row
from .selftest import check_device
from .states import CudaStates

#: Rows × hops of a large step, for each multiprocessor. On an H200 that is 2112; with 512, encoding takes 9 % longer
#: there.
ROW_HOPS_EACH = 16


class CudaEngine(Shared, NeverCopied, error=EngineError, holds="a process's hold on a GPU", instead="pickle its codec"):
    """The engine on a GPU; see `base.Engine`. float32.

    Bit-identical to the native engine, whatever the chunk size, batch, and GPU. Any number of threads may call it;
    their steps follow one another.

    Args:
        config: the codec.
        tensors: folded weights under the names that the plans give; they are packed, and not kept.
        device: what computes.
        name_of_device: as it is asked for, such as ``"cuda:0"``.

    Raises:
        EngineError: the engine lacks what the codec needs; or the device has not enough memory, or fails the self-test
            of its bits.
    """

    name = "cuda"
    dtype = np.dtype(np.float32)
    threads = 1  #: CPU cores that a step uses: one, which waits for the GPU

    def __init__(self, config: Config, tensors: Tensors, device: Device, name_of_device: str = "cuda:0") -> None:
        check_abilities(config, self.name, CUDA)
        self.config, self.device = config, name_of_device
        check_device(device)
        self._runner, self._kept = Runner(device), Kept(device)
        levels = of_quantizer(self._kept, plan(config, "encode").quantizer, tensors)
        self._encoder = Resident(device, "encode", plan(config, "encode"), tensors, levels)
        self._decoder = Resident(device, "decode", plan(config, "decode"), tensors, levels)
        most = max(bytes_a_row(self._encoder), bytes_a_row(self._decoder))
        fitting, processors = device.free_memory // 2 // most, device.multiprocessors
        #: Rows × hops of a large step: half of the memory that was free holds its buffers.
        self.row_hops = max(1, min(fitting, processors * min(ROW_HOPS_EACH, max(1, fitting // processors))))
        self.description = f"cuda, float32, {device.name} ({name_of_device})"

    def __repr__(self) -> str:
        return self.description

    # ------------------------------------------------------------------ state

    def new_states(self, slots: int, direction: Direction) -> CudaStates:
        self._runner.begin()
        try:
            return self._runner.new_states(plan(self.config, direction), slots)
        finally:
            self._runner.end()

    def hop_counts(self, states: CudaStates, slots: Ints) -> Ints:
        self._runner.begin()
        try:
            return states.counts.values[np.asarray(slots, np.int64)]
        finally:
            self._runner.end()

    def reset(self, states: CudaStates, slots: Ints) -> None:
        self._runner.begin()
        try:
            states.reset(np.asarray(slots, np.int64))
        finally:
            self._runner.end()

    def export_state(self, states: CudaStates, slot: int) -> list[Floats]:
        self._runner.begin()
        try:
            return states.read(slot)
        finally:
            self._runner.end()

    def import_state(self, states: CudaStates, slot: int, histories: Sequence[Floats], clock: int = 0) -> None:
        check_histories(states.plan, histories, self.dtype)
        self._runner.begin()
        try:
            states.replace(slot, histories, clock)
        finally:
            self._runner.end()

    # ------------------------------------------------------------------ steps

    def encode_step(
        self, pcm: Floats, states: CudaStates, slots: Ints, clock: Ints, length: Ints, levels: int,
        latents: bool = False,
    ) -> tuple[Codes, Floats | None]:  # fmt: skip
        step = check_step(states, pcm, slots, clock, length, levels, latents)
        runner, rows, hops = self._runner, pcm.shape[0], step.hops
        runner.begin()
        try:
            kept: tuple[Codes, Floats | None] | None = states.counts.outputs_of(step, slots)
            if kept is not None:
                return kept
            program = runner.program(self._encoder, Shape(roomy(rows), hops, levels, latents))
            program.inputs[:rows] = pcm
            codes = np.empty((rows, levels, hops), np.int64)
            width = levels * states.plan.quantizer.codebook_dim
            inner = np.empty((rows, width, hops), np.float32) if latents else None
            # Kept before the step can happen: from then on these arrays hold the outputs, whoever gets them.
            states.counts.last = step, (codes, inner)
            runner.step(program, states, slots, clock, length, (codes, inner))
            return codes, inner
        finally:
            runner.end()

    def decode_step(self, codes: Codes, states: CudaStates, slots: Ints, clock: Ints, length: Ints) -> Floats:
        rows, levels, _ = codes.shape
        step = check_step(states, codes, slots, clock, length, levels)
        size = states.plan.quantizer.codebook_size
        if codes.size and not (codes.min() >= -1 and codes.max() < size):  # the GPU would read past the codebook
            raise InputError(
                f"codes go from {codes.min()} to {codes.max()}; wanted 0 to {size - 1}, and -1 where a level is missing"
            )
        runner = self._runner
        runner.begin()
        try:
            kept: Floats | None = states.counts.outputs_of(step, slots)
            if kept is not None:
                return kept
            program = runner.program(self._decoder, Shape(roomy(rows), step.hops, levels))
            program.inputs[:rows], program.inputs[rows:] = codes, -1
            pcm = np.empty((rows, step.hops * states.plan.unit_out), np.float32)
            states.counts.last = step, pcm  # as in encode_step
            runner.step(program, states, slots, clock, length, (pcm, None))
            return pcm
        finally:
            runner.end()
