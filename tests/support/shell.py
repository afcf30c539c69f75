"""What the tests of the asyncio shell share: codecs that cost nothing, sources, a clock, a count of what is left."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import contextmanager

import numpy as np

from streamrvq import Frames, Gap, tokenize
from tests.support.contract import QUICK, codec_of, minute

HOP = 8
#: Hop 8, 44.1 kHz, with no delay and with one; equality is exact.
CODEC, DELAYED = (codec_of(minute(causal=causal), *QUICK) for causal in (True, False))


async def source(*items, then: BaseException | None = None) -> AsyncIterator[object]:
    """The items, one by one, and then an exception or the end."""
    for item in items:
        yield item
    if then is not None:
        raise then


def codes_of(items) -> np.ndarray:
    return np.concatenate([item.codes for item in items if isinstance(item, Frames)], axis=-1)


async def collect(blocks, codec=CODEC, **settings) -> list[Frames | Gap]:
    async with tokenize(blocks, codec, **settings) as tokens:
        return [item async for item in tokens]


def standing() -> tuple[set[object], set[object], list[str]]:
    """The tasks, threads and open files of the moment; no files where there is no /proc to look for them."""
    files, folder = [], "/proc/self/fd"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            files.append(os.readlink(f"{folder}/{name}"))
        except OSError:  # the folder's own, closed by now
            continue
    files = sorted(name for name in files if not name.startswith("/proc/"))
    return set(asyncio.all_tasks()), set(threading.enumerate()), files


async def the_other_tasks() -> None:
    """Wait for the tasks that asyncio started to close dropped generators."""
    await asyncio.sleep(0)
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


@contextmanager
def nothing_left():
    before = standing()
    yield
    assert standing() == before


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
