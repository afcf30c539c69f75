"""gpu.py asks a card for the right things in the right order, and says in a sentence what went wrong.

Knows: the seam, and the fake of cuda.core. `tools/gpu-check` does the same on a card. No GPU, no driver, no cuda.core.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamrvq.engine.cuda import compile as compiling
from streamrvq.engine.cuda.device import Download, Launch, Upload, Work
from streamrvq.engine.cuda.driver import device_number
from streamrvq.engine.cuda.gpu import Gpu
from streamrvq.errors import EngineError
from tests.support.cuda.fake_core import Card, CUresult, install


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    """A card on which `conv_add` adds 1 to the byte that its parameters point to, and `other_break` fails."""
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
    """A byte on the card, the parameters of `conv_add` for it, and pinned memory for both ways."""

    def __init__(self, gpu: Gpu) -> None:
        self.byte, self.parameters = gpu.memory(1), gpu.memory(8)
        gpu.put(self.parameters.address, np.array([self.byte.address], np.uint64))
        self.given, self.taken = gpu.host_memory(4), gpu.host_memory(4)
        self.launch = Launch("conv_add", (1, 1, 1), 32, 0, self.parameters.address)
        self.work: list[Work] = [Upload(self.byte.address, self.given[1:2]), self.launch, self.launch,
                     Download(self.taken[2:3], self.byte.address)]  # fmt: skip


def test_a_card_says_what_it_is(card: Card) -> None:
    gpu = Gpu("cuda:1")
    assert (gpu.name, gpu.multiprocessors, gpu.free_memory) == ("Fake H100", 132, 1 << 30)
    assert (gpu.capability, gpu.shared_memory) == ((9, 0), 232448)
    assert sorted(card.compiled) == [
        f"{part.macro} sm_90" for part in sorted(compiling.PARTS, key=lambda part: part.macro)
    ]


def test_a_recording_does_its_work_in_order_every_time(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    step = gpu.record(added.work)
    gpu.synchronize()
    assert added.taken.tolist() == [0, 0, 0, 0]  # nothing is done before it is asked for
    for value in (5, 70):
        added.given[1] = value
        step.run()
        assert added.taken[2] != value + 2  # nor before somebody waits
        gpu.synchronize()
        assert added.taken.tolist() == [0, 0, value + 2, 0]
    step.run()
    step.run()  # the second one begins from what was uploaded
    back = np.zeros(1, np.uint8)
    gpu.get(back, added.byte.address)
    assert back.tolist() == [72]


def test_a_graph_is_not_destroyed_while_it_works(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    before = card.graphs
    gpu.record(added.work).run()
    gc.collect()
    assert card.graphs == before + 1
    gpu.synchronize()
    assert card.graphs == before


def test_memory_is_zero_and_comes_back_with_its_last_reference(card: Card) -> None:
    gpu = Gpu()
    memory, pinned = gpu.memory(1000), gpu.host_memory(500)
    assert memory.address % 256 == 0
    values = np.ones(1000, np.uint8)
    gpu.get(values, memory.address)
    assert not values.any()
    assert not pinned.any()
    part = pinned[10:20]
    del memory, pinned
    assert (len(card.alive), len(card.pinned)) == (0, 1)
    part[:] = 3
    del part
    assert len(card.pinned) == 0


def test_memory_of_another_process_is_left_alone(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Gpu().memory(10)
    monkeypatch.setattr(os, "getpid", lambda: -1)  # as in a process that was forked
    del memory
    assert "cuMemFree" not in card.calls


@pytest.mark.parametrize(
    "values", [np.arange(12.0).reshape(3, 4).T, np.zeros((0, 3)), np.int64(7)], ids=["T", "0", "one"]
)
def test_put_and_get_take_any_array(card: Card, values: np.ndarray) -> None:
    gpu = Gpu()
    memory = gpu.memory(max(values.nbytes, 1))
    gpu.put(memory.address, values)
    back = np.empty(values.shape, values.dtype)
    gpu.get(back, memory.address)
    assert back.tobytes() == values.tobytes()


def test_get_refuses_an_array_that_it_cannot_fill(card: Card) -> None:
    gpu = Gpu()
    with pytest.raises(EngineError, match="C-contiguous and can be written"):
        gpu.get(np.zeros((4, 4)).T[1:], gpu.memory(500).address)


def test_any_thread_may_call(card: Card) -> None:
    gpu = Gpu()
    added, errors = Added(gpu), []

    def work() -> None:
        try:
            gpu.record(added.work).run()
            gpu.synchronize()
            gpu.put(added.byte.address, np.zeros(1, np.uint8))
            assert gpu.free_memory
            assert card.stack == []
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
    assert added.taken[2] == 2


def test_another_context_of_the_thread_stays_current(card: Card) -> None:
    card.stack.append(77)  # torch's, say
    gpu = Gpu()
    Added(gpu)
    with pytest.raises(EngineError):
        gpu.memory(1 << 40)
    assert card.stack == [77]
    card.stack.pop()


def test_shared_memory_is_granted_where_a_kernel_needs_it(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    for shared, granted in ((1000, {}), (100_000, {"conv_add": 100_000}), (60_000, {"conv_add": 100_000})):
        gpu.record([Launch("conv_add", (1, 1, 1), 32, shared, added.parameters.address)])
        assert card.granted == granted
    assert card.calls.count("cuKernelSetAttribute") == 1


def test_a_time_is_a_mean_of_runs(card: Card) -> None:
    gpu = Gpu()
    added = Added(gpu)
    assert gpu.milliseconds(gpu.record([added.launch]), 3) == 2.0
    back = np.zeros(1, np.uint8)
    gpu.get(back, added.byte.address)
    assert back[0] == 3


def test_a_damaged_file_of_the_cache_is_compiled_anew(card: Card) -> None:
    Gpu()
    Gpu()
    assert len(card.compiled) == len(compiling.PARTS)
    for key in card.cached:
        card.cached[key] = b"damaged"
    Gpu()
    assert len(card.compiled) == 2 * len(compiling.PARTS)


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
        ({"count": 0}, "this machine has no card"),
        ({"count": 1}, "device is 'cuda:1'; this machine has cuda:0"),
        ({"capability": (7, 5)}, "compute capability is 7.5; the kernels need 8.0"),
        ({"capability": (13, 0)}, "is of compute capability 13.0, and NVRTC here knows 7.5, 8.0, .*; update it"),
        ({"results": {"cuInit": CUresult.CUDA_ERROR_NO_DEVICE}}, "sees no card; see nvidia-smi"),
    ],
)
def test_a_card_that_cannot_be_used_is_refused(card: Card, change: dict[str, object], sentence: str) -> None:
    for name, value in change.items():
        setattr(card, name, value)
    with pytest.raises(EngineError, match=sentence):
        Gpu("cuda:1")


def test_without_cuda_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(EngineError, match=r"needs the package cuda-core, and .*pip install 'streamrvq\[cuda\]'"):
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
        (Launch("conv_add", (1, 1, 1), 32, 1 << 20, at), "wants 1048576 bytes of shared memory .* the card has 232448"),
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


def test_kernels_lie_in_the_package() -> None:
    assert (compiling.KERNELS / compiling.SOURCE).is_file()
    assert Path(compiling.__file__).parent == compiling.KERNELS.parent
