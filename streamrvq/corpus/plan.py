"""Which sources go into which shard: by a rule that knows only the sources, so that it is the same for any workers.

Knows: files' sizes. Does not know: workers, machines, what is in the files, which shards are written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..errors import InputError
from .sources import Source

#: Bytes of audio files a shard: an hour or so of FLAC. What a crash may cost is one shard a worker.
LARGEST = 128 << 20
#: A small corpus is divided all the same, so that several workers have something to do; but not below `LEAST` bytes.
WANTED, LEAST = 32, 1 << 20


@dataclasses.dataclass(frozen=True)
class Shard:
    """The sources of one shard, in the order of its rows."""

    number: int
    of: int
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """Of its file; that it says how many there are shows readers when some are missing."""
        return f"shard-{self.number:05d}-of-{self.of:05d}.parquet"

    @property
    def size(self) -> int:
        """Bytes of its sources."""
        return sum(source.size for source in self.sources)


def divide(sources: Sequence[Source], shard_bytes: int | None = None) -> list[Shard]:
    """Sources in their order, cut where the next one would take a shard beyond ``shard_bytes`` (None: the rule above).

    Raises:
        InputError: ``shard_bytes`` below 1.
    """
    if shard_bytes is not None and shard_bytes < 1:
        raise InputError(f"a shard of {shard_bytes} bytes of audio was asked for; wanted at least 1")
    most = shard_bytes or min(LARGEST, max(LEAST, sum(source.size for source in sources) // WANTED))
    groups: list[list[Source]] = []
    held = most
    for source in sources:
        if not groups or held + source.size > most:
            groups.append([])
            held = 0
        groups[-1].append(source)
        held += source.size
    return [Shard(number, len(groups), tuple(group)) for number, group in enumerate(groups)]
