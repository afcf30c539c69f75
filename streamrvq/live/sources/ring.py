"""The ring between a sound device's thread and the event loop: blocks in on one side, blocks out on the other, no lock.

All memory is there from the start, so that a write is a copy and a few stores. One thread writes, one reads. Each side
moves only its own count; a block is copied before the count that shows it moves. When the ring is full, samples are
counted instead of kept, and the count goes with the next block that finds room: the reader learns how many are missing,
and where. A write tells whether it ended an emptiness, for only then does a sleeping reader have to be woken:

    writer: show the block, then look how far the reader is       reader: clear its event, then look for blocks, sleep

Whichever comes second sees the other: no wake-up is missed.

Knows: samples, counts. Does not know: sound devices, asyncio, what a time stamp means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...audio.pcm import Pcm


class Block(NamedTuple):
    """What was written at once."""

    pcm: Pcm  #: ``[n]``, the reader's own
    time: float  #: as it was written
    flagged: bool  #: as it was written; or one that found no room, just before, was
    lost: int  #: samples that found no room between the block before and this one


class Ring:
    """Room for ``samples`` samples in at most ``blocks`` blocks; see the head of the file.

    Attributes:
        overruns: how many times it ran full.
        dropped: samples that found no room, in all.
    """

    def __init__(self, samples: int, blocks: int = 4096) -> None:
        self._pcm = np.zeros(samples, np.float32)
        self._ends = np.zeros(blocks, np.int64)  # samples kept until the end of each block
        self._times = np.zeros(blocks, np.float64)
        self._flags = np.zeros(blocks, np.bool_)
        self._lost = np.zeros(blocks, np.int64)
        self._written = self._read = 0  # blocks
        self._taken = self._kept = 0  # samples
        self._missing = 0
        self._carried = False  # a flag of a block that found no room
        self.overruns = self.dropped = 0

    @property
    def held(self) -> int:
        """Samples waiting for the reader."""
        return self._kept - self._taken

    @property
    def missing(self) -> int:
        """Samples dropped since the last block that was kept; final once nobody writes any more."""
        return self._missing

    def write(self, pcm: npt.NDArray[Any], time: float, flagged: bool = False) -> bool:
        """Copy a block ``[n]``, n ≥ 1, in; True where the reader may sleep and has to be woken. Never waits or raises.

        A block that does not fit as a whole is dropped as a whole, and counted.
        """
        count, size = len(pcm), len(self._pcm)
        if self._written - self._read == len(self._ends) or count > size - (self._kept - self._taken):
            self.overruns += not self._missing
            self._missing += count
            self.dropped += count
            self._carried = self._carried or flagged
            return False  # there is something to read, or nothing would ever fit
        at, slot = self._kept % size, self._written % len(self._ends)
        first = min(count, size - at)
        self._pcm[at : at + first] = pcm[:first]
        self._pcm[: count - first] = pcm[first:]
        self._kept += count
        self._ends[slot], self._times[slot], self._lost[slot] = self._kept, time, self._missing
        self._flags[slot] = flagged or self._carried
        self._missing, self._carried = 0, False
        self._written += 1  # now the reader can see it
        return self._read >= self._written - 1

    def read(self) -> Block | None:
        """The oldest block, or None."""
        if self._read == self._written:
            return None
        slot = self._read % len(self._ends)
        end = int(self._ends[slot])
        count, at = end - self._taken, self._taken % len(self._pcm)
        pcm = np.empty(count, np.float32)
        first = min(count, len(self._pcm) - at)
        pcm[:first] = self._pcm[at : at + first]
        pcm[first:] = self._pcm[: count - first]
        block = Block(pcm, float(self._times[slot]), bool(self._flags[slot]), int(self._lost[slot]))
        self._taken = end  # now the writer may use the room again
        self._read += 1
        return block
