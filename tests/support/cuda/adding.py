"""A fake GPU with two kernels, and work for it: what the tests of gpu.py ask it for.

Knows: the fake of cuda.core. Does not know: what is tested.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from streamrvq.engine.cuda.device import Download, Launch, Upload, Work
from streamrvq.engine.cuda.gpu import Gpu

from .fake_card import Card, CUresult
from .fake_core import install


@pytest.fixture(name="card")
def adding_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    """A GPU on which `conv_add` adds 1 to the byte that its parameters point to, and `other_break` fails."""
    card = Card()

    def add(parameters: int) -> None:
        ctypes.c_uint8.from_address(ctypes.c_uint64.from_address(parameters).value).value += 1

    def fail(parameters: int) -> None:
        card.broken = CUresult.CUDA_ERROR_ILLEGAL_ADDRESS

    card.kernels = {"conv_add": add, "other_break": fail}
    install(monkeypatch, card)
    yield card
    assert card.stack == []  # whatever happened: the thread's context is what it was


class Added:
    """A byte on the GPU, the parameters of `conv_add` for it, and pinned memory for both ways."""

    def __init__(self, gpu: Gpu) -> None:
        self.byte, self.parameters = gpu.memory(1), gpu.memory(8)
        gpu.put(self.parameters.address, np.array([self.byte.address], np.uint64))
        self.given, self.taken = gpu.host_memory(4), gpu.host_memory(4)
        self.launch = Launch("conv_add", (1, 1, 1), 32, 0, self.parameters.address)
        self.work: list[Work] = [Upload(self.byte.address, self.given[1:2]), self.launch, self.launch,
                     Download(self.taken[2:3], self.byte.address)]  # fmt: skip
