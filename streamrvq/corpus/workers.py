"""What every worker needs to write a shard, in this process, in another one or on another machine.

Knows: that a worker loads its codec once. Does not know: processes, Ray, which shards are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..codec import Codec
from .plan import Shard
from .progress import OnProgress
from .settings import Settings
from .shard import ShardSummary, write_shard


class Work(NamedTuple):
    """What is the same for all shards of a run."""

    folder: Path
    settings: Settings
    digest: str
    threads: int

    def prepare(self) -> None:
        """Load this process's codec. Raises as `Settings.load`."""
        _codec(self.settings, self.threads)

    def write(self, shard: Shard, on_progress: OnProgress) -> ShardSummary:
        """Write one shard with this process's codec. Raises as `write_shard` and `Settings.load`."""
        codec = _codec(self.settings, self.threads)
        return write_shard(self.folder, shard, self.digest, codec, self.settings, on_progress)


@lru_cache(maxsize=1)
def _codec(settings: Settings, threads: int) -> Codec:
    return settings.load(threads)


def largest_first(shards: Sequence[Shard]) -> list[Shard]:
    """The order in which shards are given to workers: then no worker ends long after the others."""
    return sorted(shards, key=lambda shard: (-shard.size, shard.number))
