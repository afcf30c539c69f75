"""Which sources go into which shard. The rule looks at the sources alone, so the plan is the same for any workers.

Knows: the sizes of files. Does not know: workers, machines, what is in the files, which shards are written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from ..errors import InputError
from ..system.foreign_data import is_whole, shown
from .sources import Source

#: Bytes of audio files for each shard: about an hour of FLAC. A crash costs each worker at most one shard. An engine
#: that encodes many files at once also loses what it had begun of later ones, up to about this many bytes.
LARGEST = 128 << 20
#: A small corpus is divided too, so that several workers have something to do, but into shards of at least `LEAST`.
WANTED, LEAST = 32, 1 << 20
#: Bytes that a shard says of its sources if all of them fail, so that files that are missing, and so have no size, do
#: not all go into one shard. Parquet's readers refuse a text of 100 MB.
_MOST_SAID = 64 << 20
#: Bytes of a failed source's entry beside its name and path, and characters of the path that an error repeats.
_SAID, _REPEATED = 256, 1000


@dataclasses.dataclass(frozen=True)
class Shard:
    """The sources of one shard, in the order of its rows."""

    number: int
    of: int
    sources: tuple[Source, ...]
    digest: str = ""  #: of the run, as it was when the shard was planned. The shard's file carries it

    @property
    def name(self) -> str:
        """The file's name. It says how many shards there were to be, so that readers notice missing ones."""
        return f"shard-{self.number:05d}-of-{self.of:05d}.parquet"

    @property
    def size(self) -> int:
        """Bytes of the shard's sources."""
        return sum(source.size for source in self.sources)


def divide(sources: Sequence[Source], shard_bytes: int | None = None, first: int = 0) -> list[Shard]:
    """Divide the sources in their order. A shard ends where the next source would take it beyond ``shard_bytes``,
    or what it would say of them all, if they failed, beyond `_MOST_SAID`.

    With None the limit is a part of the whole: see `WANTED`, `LEAST` and `LARGEST`. ``first`` is the first shard's
    number: a run that grows has that many already.

    Raises:
        InputError: ``shard_bytes`` is no whole number from 1 on.
    """
    if shard_bytes is not None and not is_whole(shard_bytes, 1):
        raise InputError(
            f"a shard of {shown(shard_bytes)} bytes of audio was asked for; wanted at least 1, as a whole number"
        )
    most = shard_bytes or min(LARGEST, max(LEAST, sum(source.size for source in sources) // WANTED))
    groups: list[list[Source]] = []
    held = said = 0
    for source in sources:
        says = _SAID + len(json.dumps(source.path)) + len(json.dumps(source.file[:_REPEATED]))
        if not groups or held + source.size > most or said + says > _MOST_SAID:
            groups.append([])
            held = said = 0
        groups[-1].append(source)
        held, said = held + source.size, said + says
    return [Shard(number, first + len(groups), tuple(group)) for number, group in enumerate(groups, first)]
