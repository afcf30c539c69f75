"""Shards by a cluster: Ray Data hands them out, its actors are the workers, and do what local.py's processes do.

The shards' folder and the sources must be the same paths on every node, and streamrvq be installed there. A worker or a
node that dies costs nothing but time: Ray gives its shard to another, and whoever is the last to end a shard puts the
same bytes there.

Knows: Ray. Does not know: what a shard is made of, which shards are wanted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import CorpusError, StreamRVQError
from ..system.optional import need
from .local import Work, loaded
from .plan import Shard
from .shard import ShardSummary, Told, write_shard
from .sources import Source

#: Seconds within which a cluster's port must answer.
_KNOCK = 10
#: The address that starts Ray on this machine, for this run.
LOCAL = "local"


def run_on_ray(
    work: Work, shards: Sequence[Shard], address: str, workers: int | None, told: Told
) -> Generator[ShardSummary]:
    """Write shards on the cluster at ``address``, by ``workers`` actors at most (None: as many as it has cores for).

    Raises:
        ExtraError: without Ray.
        CorpusError: no such cluster, or what `write_shard` raises.
    """
    ray, data = need("ray", "ray", "clusters"), need("ray.data", "ray", "clusters")
    by_number = {shard.number: shard for shard in shards}
    with _connected(ray, address):
        cores = int(ray.cluster_resources().get("CPU", 1)) // work.threads
        most = max(1, min(len(shards), workers or cores))
        ordered = sorted(shards, key=lambda shard: (-shard.size, shard.number))
        items = [{"shard": json.dumps(dataclasses.asdict(shard))} for shard in ordered]
        results = data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker, fn_constructor_args=(work,), batch_size=1, num_cpus=work.threads,
            compute=data.ActorPoolStrategy(min_size=1, max_size=most),
        )  # fmt: skip
        for row in results.iter_rows():
            if row["error"]:
                raise CorpusError(row["error"])
            summary = ShardSummary.from_json(row["summary"])
            told(by_number[summary.number].size, summary.seconds)
            yield summary


class Worker:
    """One actor: shards in, their summaries out, as text, for these are what Ray's tables hold."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        summaries, errors = [], []
        for text in batch["shard"]:
            summary = error = ""
            try:  # what is raised here would come back as Ray's own error
                codec = loaded(self._work.settings, self._work.threads)
                done = write_shard(
                    self._work.folder, _shard(text), self._work.digest, codec, self._work.settings, lambda *_: None
                )
                summary = done.to_json()
            except StreamRVQError as failure:
                error = str(failure)
            summaries.append(summary)
            errors.append(error)
        return {"summary": summaries, "error": errors}


def _shard(text: str) -> Shard:
    values = json.loads(text)
    return Shard(values["number"], values["of"], tuple(Source(*source) for source in values["sources"]))


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at ``host:port``: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster, unless this process has one already; what Ray tells of its work is left out."""
    need("ray.data", "ray", "clusters").DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _knock(address)
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise CorpusError(
            f"no Ray cluster can be reached at {address} ({' '.join(str(error).split())}); start one with `ray start "
            f"--head`, or give {LOCAL} to have one on this machine for this run"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
