"""gpu.py asks a GPU for the right things in the right order, and says in a sentence what went wrong.

Knows: the seam, and the fake of cuda.core. `tools/gpu-check` does the same on a GPU. No GPU, no driver, no cuda.core.
"""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from streamrvq.engine.cuda import compile as compiling
from streamrvq.engine.cuda.device import Launch
from streamrvq.engine.cuda.gpu import Gpu
from streamrvq.errors import EngineError
from tests.support.cuda.adding import Added, adding_card
from tests.support.cuda.fake_card import Card

__all__ = ["adding_card"]  # a fixture


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
    Gpu()  # what was damaged was replaced
    assert len(card.compiled) == 2 * len(compiling.PARTS)


def test_kernels_lie_in_the_package() -> None:
    assert (compiling.KERNELS / compiling.SOURCE).is_file()
    assert Path(compiling.__file__).parent == compiling.KERNELS.parent
