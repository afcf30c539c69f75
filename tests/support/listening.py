"""What the tests of the microphone share: a virtual device whose samples are known, and a record of what came."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from streamrvq import Gap, Microphone
from streamrvq.live.sources import microphone as microphone_source
from tests.support.contract import QUICK, codec_of, minute, noise
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Fifo, Voice

RATE, BLOCK = 44_100, 441
SIGNAL = noise(20 * RATE)
#: Cost next to nothing, and equality is exact.
CODEC, SYMMETRIC = (codec_of(minute((2, 4, 8, 8), causal=causal), *QUICK) for causal in (True, False))
#: Seconds of buffer with which nothing is lost, however busy the machine is.
PLENTY = 30

#: As many looks at a device without samples last as long as tests wait. A busy machine may starve a virtual device.
SILENT_POLLS = round(PATIENCE / microphone_source._POLL_SECONDS)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device may be silent for long, in all tests of a file that imports this. A test can undo it."""
    for name in ("_SILENT_POLLS", "_SILENT_POLLS_AT_START"):
        monkeypatch.setattr(microphone_source, name, SILENT_POLLS)


def fifo(**settings: Any) -> Fifo:
    return Fifo(Voice(SIGNAL, RATE, BLOCK, **settings))


def microphone(**settings: Any) -> Microphone:
    return Microphone(RATE, block=BLOCK, **settings)


async def listen_once(mic: Microphone) -> None:
    """Read one block, so that whatever PortAudio opens once and keeps is open."""
    async with mic, contextlib.aclosing(aiter(mic)) as blocks:
        await anext(blocks)


class RecordedSource:
    """A source that passes a microphone's items on and keeps them."""

    def __init__(self, mic: Microphone, seconds: float = np.inf) -> None:
        assert mic.sample_rate is not None
        self.mic, self.sample_rate, self._wanted = mic, mic.sample_rate, seconds * mic.sample_rate
        self.items: list[Any] = []

    async def __aiter__(self) -> Any:
        position = 0
        async with contextlib.aclosing(aiter(self.mic)) as items:
            async for item in items:
                assert not isinstance(item, Gap) or item.position == position
                position += item.samples if isinstance(item, Gap) else len(item)
                self.items.append(item)
                yield item
                if position >= self._wanted:
                    self.mic.stop()

    @property
    def gaps(self) -> list[Gap]:
        return [item for item in self.items if isinstance(item, Gap)]

    def signals(self) -> list[np.ndarray]:
        """The signals to encode: zeros fill gaps of up to a second; after a longer gap a new signal begins."""
        found: list[list[np.ndarray]] = [[]]
        for item in self.items:
            if not isinstance(item, Gap):
                found[-1].append(item)
            elif item.samples <= self.sample_rate:
                found[-1].append(np.zeros(item.samples, np.float32))
            else:
                found.append([])
        return [np.concatenate([np.zeros(0, np.float32), *parts]) for parts in found]

    def misplaced(self, pcm: np.ndarray, exact: bool = True) -> int:
        """How many samples are not where the device had them, apart from blocks before its first sample."""
        blocks, position = [], 0
        for item in self.items:
            if isinstance(item, Gap):
                position += item.samples
            else:
                blocks.append((position, item))
                position += len(item)
        first = blocks[0][1]
        (offset,) = np.flatnonzero(np.isclose(pcm, first[0], atol=0, rtol=0))[:1]
        return sum(int((pcm[offset + at : offset + at + len(block)] != block).sum()) for at, block in blocks)


def around(gap: Gap, items: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """What came just before a gap and just after it, up to the next gap on each side, which is this machine's own."""
    found: list[list[np.ndarray]] = [[]]
    for item in items:
        if not isinstance(item, Gap):
            found[-1].append(item)
            continue
        if item is gap:
            before = len(found) - 1
        found.append([])
    return np.concatenate(found[before]), np.concatenate(found[before + 1])
