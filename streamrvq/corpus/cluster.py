"""Shards written by a cluster: Ray Data hands them out, and its actors do what the processes of local.py do.

The folder of shards and the sources must have the same paths on every node, and streamrvq must be installed there. If a
worker or a node dies, only time is lost: Ray gives its shard to another worker. If two workers write the same shard,
both write the same bytes.

Knows: Ray. Does not know: what is in a shard, or which shards are wanted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import CorpusError, StreamRVQError
from ..system.cores import available_cores
from ..system.interrupts import termination_kept
from ..system.optional import need
from .columns import checked_columns
from .plan import Shard
from .progress import OnProgress, Progress
from .shard import ShardSummary
from .sources import Source
from .workers import Work, Writer, largest_first

#: Seconds within which a cluster's port must answer.
_ANSWER_WITHIN = 10
#: The address that starts a Ray cluster on this machine for this run.
LOCAL = "local"


def run_on_ray(
    work: Work, shards: Sequence[Shard], address: str, workers: int | None, on_progress: OnProgress
) -> Generator[ShardSummary]:
    """Write shards on the cluster at ``address``, with at most ``workers`` actors (None: as many as its cores allow, or
    its GPUs, if the work is for a device).

    An actor asks for the cores of its engine and of its readers. With a device it asks for a GPU, too, and sees no
    other: so there the device is its first.

    Raises:
        ExtraError: Ray is not installed.
        CorpusError: no such cluster, one that has no room for a worker, or what `write_shard` raises.
    """
    ray, data = need("ray", "ray", "clusters need"), need("ray.data", "ray", "clusters need")
    by_number = {shard.number: shard for shard in shards}
    with _connected(ray, address):
        cores, gpus = work.threads + (work.readers or 0), 1 if work.devices else 0
        room = _room([node["Resources"] for node in ray.nodes() if node["Alive"]], cores, gpus, address)
        most = min(len(shards), workers or room)
        items = [{"shard": json.dumps(dataclasses.asdict(shard))} for shard in largest_first(shards)]
        results = data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker, fn_constructor_args=(work,), batch_size=1, num_cpus=cores, num_gpus=gpus or None,
            compute=data.ActorPoolStrategy(min_size=1, max_size=most),
        )  # fmt: skip
        for row in results.iter_rows():
            if row["error"]:
                raise CorpusError(row["error"])
            summary = ShardSummary.from_json(row["summary"])
            on_progress(Progress(by_number[summary.number].size, summary.seconds))
            yield summary


def _room(nodes: Sequence[Mapping[str, float]], cores: int, gpus: int, address: str) -> int:
    """How many workers have room on a cluster's nodes, each on one of them. Where none has, Ray would wait for ever.

    Raises:
        CorpusError: none has.
    """
    fits = [
        min([int(node.get("CPU", 0)) // cores, *([int(node.get("GPU", 0)) // gpus] if gpus else [])]) for node in nodes
    ]
    if not any(fits):
        all_cores, all_gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
        there = f"{all_gpus:g} GPUs and {all_cores:g} cores" if gpus else f"{all_cores:g} cores"
        wanted = f"worker with a device wants 1 and {cores}" if gpus else f"worker wants {cores}"
        raise CorpusError(
            f"the cluster at {address} has {there}; a {wanted} on one node: add such a node, or ask for fewer "
            "--threads or --readers"
        )
    return sum(fits)


class Worker:
    """One actor: it takes shards and gives their summaries, both as text, which Ray's tables can hold.

    Ray gives a shard again to another actor when one dies, so each has one at a time, and begins none ahead.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._writer: Writer | None = None  # its readers end with the actor's process

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        summaries, errors = [], []
        for text in batch["shard"]:
            summary = error = ""
            try:  # an exception would come back wrapped in one of Ray's
                self._writer = self._writer or self._work.opened()
                (written,) = self._writer.write([_shard(text)], _not_reported)
                summary = written.to_json()
            except StreamRVQError as failure:
                error = str(failure)
            summaries.append(summary)
            errors.append(error)
        return {"summary": summaries, "error": errors}


def _not_reported(progress: Progress) -> None:
    """Progress within a shard does not leave the actor: a whole shard is reported where its summary arrives."""


def _shard(text: str) -> Shard:
    values = json.loads(text)
    sources = (
        Source(path, file, size, checked_columns(dict(further))) for path, file, size, further in values["sources"]
    )
    return Shard(values["number"], values["of"], tuple(sources), values["digest"])


def _check_reachable(address: str) -> None:
    """Raise `OSError` if nothing listens at ``host:port``: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_WITHIN).close()


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster, unless this process has one already. Ray's own messages are silenced."""
    need("ray.data", "ray", "clusters need").DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _check_reachable(address)
        cores = {"num_cpus": available_cores()} if address == LOCAL else {}  # a running cluster has its own number
        with termination_kept():  # Ray's handler prints a trace and ends with another code
            ray.init(address=address, logging_level="ERROR", log_to_driver=False, **cores)
    except (OSError, RuntimeError, ValueError) as error:
        raise CorpusError(
            f"no Ray cluster can be reached at {address} ({' '.join(str(error).split())}); start one with `ray start "
            f"--head`, or give {LOCAL} to have one on this machine for this run"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
