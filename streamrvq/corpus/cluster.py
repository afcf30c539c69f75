"""Shards written by a cluster: Ray Data hands them out, and its actors do what the processes of local.py do.

The folder of shards and the sources must have the same paths on every node, and streamrvq must be installed there. A
node may have a folder of its own at that path: so each shard is looked for here before it counts as written. If a
worker or a node dies, only time is lost: Ray gives its shard to another worker. If two workers write the same shard,
both write the same bytes.

Knows: Ray. Does not know: what is in a shard, or which shards are wanted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import CorpusError, StreamRVQError
from ..system.cores import available_cores
from ..system.foreign_data import one_line
from ..system.interrupts import termination_kept
from ..system.optional import need
from .columns import checked_columns
from .plan import Shard
from .progress import OnProgress, Progress
from .raised import named
from .shard import ShardSummary, read_summary
from .sources import Source
from .workers import Work, Writer, largest_first

#: What terminals take for colours, in Ray's errors.
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
#: Seconds within which a cluster's port must answer.
_ANSWER_WITHIN = 10
#: Seconds after which a shard of another machine is to be seen here, and between two looks: file systems that machines
#: share may remember for a minute that a file was not there.
_SEEN_WITHIN, _LOOK_EVERY = 90.0, 0.5
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
        CorpusError: no such cluster, one that has no room for a worker, or that fails; a node has another folder; or
            what `write_shard` raises.
    """
    ray, data = need("ray", "ray", "clusters need"), need("ray.data", "ray", "clusters need")
    by_number = {shard.number: shard for shard in shards}
    with _connected(ray, address):
        cores, gpus = work.threads + (work.readers or 0), 1 if work.devices else 0
        room = _room([node["Resources"] for node in ray.nodes() if node["Alive"]], cores, gpus, address)
        most = min(len(shards), workers or room)
        items = [{"shard": json.dumps(dataclasses.asdict(shard))} for shard in largest_first(shards)]
        results = data.from_items(items, override_num_blocks=len(items)).map_batches(
            Worker, fn_constructor_args=(work, version("streamrvq")), batch_size=1, num_cpus=cores,
            num_gpus=gpus or None, compute=data.ActorPoolStrategy(min_size=1, max_size=most),
        )  # fmt: skip
        for row in _rows(ray, results, address):
            if row["error"]:
                raise CorpusError(row["error"])
            summary = ShardSummary.from_json(row["summary"])
            shard = by_number[summary.number]
            _wait_for(work.folder, shard, summary, row["node"], on_progress)
            on_progress(Progress(shard.size, summary.seconds))
            yield summary


def _rows(ray: Any, results: Any, address: str) -> Iterator[dict[str, Any]]:
    """What the actors gave. Raises `CorpusError` if Ray does not run them."""
    try:
        yield from results.iter_rows()
    except ray.exceptions.RayError as error:
        lines = [line for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()] or [""]
        raise CorpusError(
            f"the Ray cluster at {address} could not run the workers ({one_line(lines[0])} … {one_line(lines[-1])}); "
            f"wanted streamrvq {version('streamrvq')} on every node: install it there, look at the cluster's logs, and "
            "run the same command again: it goes on where it stopped"
        ) from None


def _wait_for(folder: Path, shard: Shard, written: ShardSummary, node: str, on_progress: OnProgress) -> None:
    """Wait until a shard is seen here as a node has written it.

    Raises:
        CorpusError: it does not come, or is damaged.
    """
    path, until = folder / shard.name, time.monotonic() + _SEEN_WITHIN
    while not path.exists() or read_summary(path, shard) != written:  # one that is written again was there before
        if time.monotonic() > until:
            raise CorpusError(
                f"{shard.name} was written on the node {node}, and is not in {folder} here; wanted one folder that all "
                "nodes share at this path: give such a one, or mount it there"
            )
        on_progress(Progress(0.0, 0.0))
        time.sleep(_LOOK_EVERY)


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

    def __init__(self, work: Work, package: str) -> None:
        self._work, self._package = work, package
        self._writer: Writer | None = None  # its readers end with the actor's process

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        summaries, errors = [], []
        for text in batch["shard"]:
            summary = error = ""
            try:  # an exception would come back wrapped in one of Ray's
                self._writer = self._writer or self._opened()
                (written,) = self._writer.write([_shard(text)], _not_reported)
                summary = written.to_json()
            except StreamRVQError as failure:
                _, error = named(failure)
            summaries.append(summary)
            errors.append(error)
        return {"summary": summaries, "error": errors, "node": [socket.gethostname()] * len(errors)}

    def _opened(self) -> Writer:
        if (here := version("streamrvq")) != self._package:
            raise CorpusError(
                f"streamrvq {here} is on the node {socket.gethostname()}, and {self._package} where the run was begun; "
                "other versions may write other rows: install the same version there"
            )
        return self._work.opened()


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
