"""The ring buffer between a sound device's thread and the event loop. It has no lock.

One thread writes blocks, one thread reads them. All memory is allocated at the start, so a write is a copy and a few
stores. Each side changes only its own counts, and copies a block before it changes the count that publishes it.

When the ring is full, samples are dropped and counted. The count is stored with the next block that fits, so the
reader learns how many samples are missing, and where.

`Ring.write` says whether the ring was empty before, because only then may the reader be asleep:

    writer: publish the block, then check how far the reader is       reader: clear its event, check for blocks, sleep

Whichever comes second sees what the other did, so no wake-up is missed.

Knows: samples, counts. Does not know: sound devices, asyncio, what a time stamp means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...audio.pcm import Pcm


class Block(NamedTuple):
    """A block, as one call of `Ring.write` wrote it."""

    pcm: Pcm  #: ``[n]``, a copy that belongs to the reader
    time: float
    flagged: bool  #: of this block, or of a block that was dropped just before it
    lost: int  #: samples that were dropped between the previous block and this one


class Ring:
    """A ring of ``samples`` samples in at most ``blocks`` blocks; see the head of the file.

    Attributes:
        overruns: how many times it ran full.
        dropped: samples that were dropped, in all.
    """

    def __init__(self, samples: int, blocks: int) -> None:
        self._pcm = np.zeros(samples, np.float32)
        self._ends = np.zeros(blocks, np.int64)  # of each block: samples stored up to its end, in all
        self._times = np.zeros(blocks, np.float64)
        self._flags = np.zeros(blocks, np.bool_)
        self._lost = np.zeros(blocks, np.int64)
        self._blocks_written = self._blocks_read = 0
        self._samples_read = self._samples_written = 0
        self._missing = 0
        self._dropped_flag = False  # the flag of a block that was dropped
        self.overruns = self.dropped = 0

    @property
    def held(self) -> int:
        """Samples that wait for the reader."""
        return self._samples_written - self._samples_read

    @property
    def missing(self) -> int:
        """Samples dropped since the last block that fitted; final once the writer has stopped."""
        return self._missing

    def write(self, pcm: npt.NDArray[Any], time: float, flagged: bool = False) -> bool:
        """Write a block ``[n]``, n ≥ 1. Returns True if the reader may be asleep and must be woken.

        A block that does not fit as a whole is dropped as a whole, and counted. This never waits and never raises.
        """
        count, size = len(pcm), len(self._pcm)
        if self._blocks_written - self._blocks_read == len(self._ends) or count > size - self.held:
            self.overruns += not self._missing
            self._missing += count
            self.dropped += count
            self._dropped_flag = self._dropped_flag or flagged
            return False  # the ring is not empty, or the block would never fit
        at, slot = self._samples_written % size, self._blocks_written % len(self._ends)
        first = min(count, size - at)
        self._pcm[at : at + first] = pcm[:first]
        self._pcm[: count - first] = pcm[first:]
        self._samples_written += count
        self._ends[slot], self._times[slot], self._lost[slot] = self._samples_written, time, self._missing
        self._flags[slot] = flagged or self._dropped_flag
        self._missing, self._dropped_flag = 0, False
        self._blocks_written += 1  # now the reader can see it
        return self._blocks_read >= self._blocks_written - 1

    def read(self) -> Block | None:
        """The oldest block, or None."""
        if self._blocks_read == self._blocks_written:
            return None
        slot = self._blocks_read % len(self._ends)
        end = int(self._ends[slot])
        count, at = end - self._samples_read, self._samples_read % len(self._pcm)
        pcm = np.empty(count, np.float32)
        first = min(count, len(self._pcm) - at)
        pcm[:first] = self._pcm[at : at + first]
        pcm[first:] = self._pcm[: count - first]
        block = Block(pcm, float(self._times[slot]), bool(self._flags[slot]), int(self._lost[slot]))
        self._samples_read = end  # now the writer may reuse the space
        self._blocks_read += 1
        return block
