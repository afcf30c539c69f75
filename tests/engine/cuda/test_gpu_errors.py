"""What gpu.py says when something is missing, refused or broken, and that what it refused has harmed nothing.

Knows: the seam, and the fake of cuda.core.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from streamrvq.engine.cuda.device import Download, Launch, Upload
from streamrvq.engine.cuda.driver import device_number
from streamrvq.engine.cuda.gpu import Gpu
from streamrvq.errors import EngineError
from tests.support.cuda.adding import Added, adding_card
from tests.support.cuda.fake_card import Card, CUresult

__all__ = ["adding_card"]  # a fixture


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:0", 0), ("cuda:12", 12)])
def test_a_device_has_a_number(device: str, number: int) -> None:
    assert device_number(device) == number


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "", None, 0])
def test_a_device_of_another_name_is_refused(device: str) -> None:
    with pytest.raises(EngineError, match="wanted 'cuda', or 'cuda:0' and so on"):
        device_number(device)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 11080}, "is of CUDA 11.8; wanted 12.0 or later: update the driver"),
        ({"version": 12040}, "is of CUDA 12.4, and NVRTC of 13.0: update the driver"),
        ({"count": 0}, "this machine has no GPU"),
        ({"count": 1}, "device is 'cuda:1'; this machine has cuda:0"),
        ({"capability": (7, 5)}, "compute capability is 7.5; the kernels need 8.0"),
        ({"capability": (13, 0)}, "is of compute capability 13.0, and NVRTC here knows 7.5, 8.0, .*; update it"),
        ({"results": {"cuInit": CUresult.CUDA_ERROR_NO_DEVICE}}, "sees no GPU; see nvidia-smi"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(card: Card, change: dict[str, object], sentence: str) -> None:
    for name, value in change.items():
        setattr(card, name, value)
    with pytest.raises(EngineError, match=sentence):
        Gpu("cuda:1")


def test_without_cuda_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(EngineError, match=r"needs the package cuda-core, and .*pip install '\.\[cuda\]'"):
        Gpu()


@pytest.mark.parametrize("missing", ["cuDriverGetVersion", "cuInit"])
def test_without_a_driver(card: Card, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def no_library(*_: object) -> None:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(sys.modules["cuda.bindings.driver"], missing, no_library)
    with pytest.raises(EngineError, match=r"needs NVIDIA's driver.*\(Failed to dlopen libcuda.so.1\).*'native'"):
        Gpu()


def test_without_nvrtc(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library() -> None:
        raise RuntimeError("Failed to find nvrtc\nhere and there")

    monkeypatch.setattr(sys.modules["cuda.bindings.nvrtc"], "nvrtcGetSupportedArchs", no_library)
    with pytest.raises(EngineError, match="needs NVRTC, and Failed to find nvrtc; pip install"):
        Gpu()


def test_too_little_memory_is_told_and_harms_nothing(card: Card) -> None:
    gpu = Gpu()
    with pytest.raises(EngineError, match="has 1,074 MB of its 2,147 MB free; 2,000 MB more were wanted: use fewer"):
        gpu.memory(2_000_000_000)
    with pytest.raises(EngineError, match="the host gave no 2,000 MB of pinned memory; use fewer"):
        gpu.host_memory(2_000_000_000)
    added = Added(gpu)
    gpu.record(added.work).run()
    gpu.synchronize()
    assert added.taken[2] == 2


def test_what_a_recording_refuses_harms_nothing(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    at, byte = added.parameters.address, added.byte.address
    for work, sentence in (
        (Launch("nothing", (1, 1, 1), 32, 0, at), "there is no kernel nothing: CUDA_ERROR_NOT_FOUND: what it means$"),
        (Launch("conv_add", (1, 1, 1), 32, 1 << 20, at), "wants 1048576 bytes of shared memory .* the GPU has 232448"),
        (
            Launch("conv_add", (1, 1, 1), 2048, 0, at),
            "did not take a recording: CUDA_ERROR_INVALID_VALUE: what it means$",
        ),
        (Upload(byte, np.zeros(1, np.uint8)), "memory from host_memory"),
        (Download(added.taken[::2], byte), "C-contiguous"),
    ):
        with pytest.raises(EngineError, match=sentence):
            gpu.record([added.launch, work])
    gpu.record(added.work).run()
    gpu.synchronize()
    assert added.taken[2] == 2


def test_after_a_kernel_failed_the_card_is_not_used_any_more(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    step = gpu.record([Launch("other_break", (1, 1, 1), 32, 0, added.parameters.address), *added.work])
    step.run()
    sentence = "Fake H100 failed at its work: CUDA_ERROR_ILLEGAL_ADDRESS .*; it cannot be used any more by this process"
    with pytest.raises(EngineError, match=sentence):
        gpu.synchronize()
    asked = len(card.calls)
    back = np.zeros(1, np.uint8)
    for call in (
        step.run, gpu.synchronize, lambda: gpu.memory(1), lambda: gpu.host_memory(1), lambda: gpu.record([]),
        lambda: gpu.put(added.byte.address, back), lambda: gpu.get(back, added.byte.address), lambda: gpu.free_memory,
    ):  # fmt: skip
        with pytest.raises(EngineError, match=sentence):
            call()
    assert len(card.calls) == asked


def test_the_error_of_a_launch_is_told_too(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    step = gpu.record([added.launch])
    card.broken = CUresult.CUDA_ERROR_ILLEGAL_ADDRESS  # of a kernel that another thread asked for
    with pytest.raises(EngineError, match="CUDA_ERROR_ILLEGAL_ADDRESS: what it means; it cannot be used any more"):
        step.run()
