"""The torch engine's number of threads is its own: one unless asked, and nothing of it is left outside its calls."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from streamrvq.codec import Codec
from streamrvq.engine.torch_threads import StepThreads, asked_threads
from tests.support.contract import minute, noise, weights_of


@pytest.fixture
def three_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_of(monkeypatch: pytest.MonkeyPatch, asked: str | None, given: int | None) -> int:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    return Codec(weights_of(minute()), engine="torch", threads=given).engine.threads


@pytest.mark.parametrize(
    "asked, given, wanted",
    [(None, None, 1), (None, 2, 2), ("2", None, 2), ("2", 1, 1), ("4,2", None, 4), ("", None, 1), ("0", None, 1),
     ("many", None, 1)],
)  # fmt: skip
def test_one_thread_unless_asked(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, given: int | None, wanted: int
) -> None:
    assert threads_of(monkeypatch, asked, given) == wanted


def test_nothing_asked_for() -> None:
    with mock.patch.dict("os.environ", clear=True):
        assert asked_threads() is None


def test_a_step_computes_on_the_engines_threads(three_threads: None) -> None:
    codec, seen, argmax = Codec(weights_of(minute()), engine="torch", threads=2), [], torch.argmax

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return argmax(*args, **kwargs)

    with mock.patch.object(torch, "argmax", counted):
        codec.encode(noise(100))
    assert set(seen) == {2}


def test_two_codecs_have_their_own_numbers(three_threads: None) -> None:
    one, two = (Codec(weights_of(minute()), engine="torch", threads=n) for n in (1, 2))
    assert one.engine.threads == 1
    assert two.engine.threads == 2
    assert one.engine.description.endswith("float32, 1 thread")
    assert two.engine.description.endswith("float32, 2 threads")


def test_the_process_keeps_its_number(three_threads: None) -> None:
    codec = Codec(weights_of(minute()), engine="torch")
    codec.decode(codec.encode(noise(100)))
    stream = codec.stream()
    stream.push(noise(100))
    codec.stream(snapshot=stream.snapshot()).flush()
    assert torch.get_num_threads() == 3


def test_the_process_keeps_its_number_after_a_step_that_raised(three_threads: None) -> None:
    with pytest.raises(KeyboardInterrupt), StepThreads(1).used():
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 3


def test_a_thread_that_is_new_to_torch_keeps_the_processs_number(three_threads: None) -> None:
    codec, seen = Codec(weights_of(minute()), engine="torch"), []

    def work() -> None:
        codec.encode(noise(100))
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [3]


def test_codes_do_not_depend_on_threads(three_threads: None) -> None:
    one, two = (Codec(weights_of(minute()), engine="torch", threads=n, dtype="float64") for n in (1, 2))
    np.testing.assert_array_equal(one.encode(noise(3000)), two.encode(noise(3000)))
