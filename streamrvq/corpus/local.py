"""Shards written by processes on this machine. By default each has one engine thread, so that no step is shared.

Knows: in which order shards are handed out, and when a run stops. Does not know: what is in a shard, which shards are
wanted, how processes end (processes.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence

from ..system.interrupts import DeferredInterrupts
from .plan import Shard
from .processes import Workers
from .progress import OnProgress, Progress
from .shard import ShardSummary, read_summary
from .workers import Work, largest_first

#: Seconds between two reports of the workers' progress.
_REPORT_EVERY = 0.25


def run_here(work: Work, shards: Sequence[Shard], on_progress: OnProgress) -> Generator[ShardSummary]:
    """Write shards in this process, one after the other."""
    if not shards:
        return
    with work.opened() as writer:
        yield from writer.write(shards, on_progress)


def run_in_processes(
    work: Work, shards: Sequence[Shard], workers: int, on_progress: OnProgress
) -> Generator[ShardSummary]:
    """Write shards in ``workers`` processes, the largest first. A summary comes as soon as its shard is written.

    Closing the iterator, Ctrl-C and SIGTERM stop the workers within a block of audio. A worker that does not stop
    within `processes.STOP_WITHIN` seconds is killed; after a second Ctrl-C or SIGTERM all are, at once.

    Raises:
        CorpusError: a worker died, or what `write_shard` raises.
    """
    left, missing, reported = deque(largest_first(shards)), len(shards), Progress(0.0, 0.0)
    with DeferredInterrupts() as interrupts:  # an interrupt among the processes' own steps would lose one of them
        processes = Workers(work, workers)
        try:
            processes.start()
            while missing:
                for shard in processes.answers(_REPORT_EVERY):
                    interrupts.check()
                    processes.share_out(left)
                    if shard is not None:
                        missing -= 1
                        yield read_summary(work.folder / shard.name, shard)
                interrupts.check()
                now = processes.done
                on_progress(Progress(now.size - reported.size, now.seconds - reported.seconds))
                reported = now
        finally:
            processes.end(lambda: interrupts.repeated)
