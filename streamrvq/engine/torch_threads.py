"""In which settings of torch the engine computes: on its own number of threads, without autocast, on the CPU, and not
compiled. The rest of the process keeps what it has set.

One thread, unless somebody asks for more. torch divides every operation among its OpenMP threads, and they wait for
each other, spinning, some hundred times in a step. Where another process takes a core meanwhile, each of these waits
may last a time slice: two threads beside a busy process encoded 0.8 s of audio a second, and one thread 12.3. How long
threads spin is a setting that OpenMP reads when it is loaded, so it cannot be changed here.

In a forked child it is one thread too. The child has no copy of its parent's threads, and OpenMP would wait for them
for ever. With one thread torch does not ask OpenMP for any.

Under autocast matrix products would have 8 or 11 bits, and codes be others. torch.compile takes the states for other
tensors than they are, and fails.

Knows: torch's number of threads, OMP_NUM_THREADS, forks; autocast, the default device, torch.compile. Does not know:
what is computed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

_PROCESS = os.getpid()  # that loaded torch; a child that was forked has another


def asked_threads() -> int | None:
    """What OMP_NUM_THREADS asks for, on its outermost level; None where it is not set, or is not a number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


class StepThreads:
    """The number of threads of one engine, which it sets for each of its calls.

    Args:
        wanted: None: what OMP_NUM_THREADS says, or 1.
    """

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted or asked_threads() or 1

    @property
    def count(self) -> int:
        """In this process."""
        return self._wanted if os.getpid() == _PROCESS else 1

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, this thread computes on `count` threads of the CPU, in the engine's own precision.

        torch keeps the number for each thread. Only a thread that uses torch for the first time meanwhile begins with
        this number too.
        """
        before, count = torch.get_num_threads(), self.count
        with ExitStack() as settings:
            if torch.is_autocast_enabled("cpu"):
                settings.enter_context(torch.autocast("cpu", enabled=False))
            if torch.get_default_device().type != "cpu":
                settings.enter_context(torch.device("cpu"))
            if before != count:
                settings.callback(torch.set_num_threads, before)
                torch.set_num_threads(count)
            yield


class _HasThreads(Protocol):
    _threads: StepThreads


E = TypeVar("E", bound=_HasThreads)


def on_own_threads(method: Callable[Concatenate[E, P], T]) -> Callable[Concatenate[E, P], T]:
    """A method of an engine that computes in the engine's own settings."""

    def computed(self: E, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._threads.used():
            return method(self, *args, **kwargs)

    @wraps(method)
    def call(self: E, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Slow to import, and where it is not, nothing is compiled. Another thread may be importing it.
        disable = getattr(sys.modules.get("torch._dynamo"), "disable", None)
        run = computed if disable is None else disable(computed)
        return run(self, *args, **kwargs)

    return call
