"""A run's plan as a file of lines, and the stages in which it grew: each stage has shards, sources and a digest.

Lines are only ever added. A shard carries the digest of its stage, over the settings and all lines up to its end, so
that the shards of earlier stages keep their bytes.

Knows: the lines, and what they must be to be believed. Does not know: folders, which shards are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..system.foreign_data import one_line
from .columns import checked_columns
from .plan import Shard
from .sources import Source

#: Of a run that never grew, and of one that did. Version 0.1.0 of the package refuses the second with a sentence.
VERSION, GROWN = 1, 2
#: Characters of a line of the plan: at least its four keys, at most two long paths and a manifest's row in ASCII.
_SHORTEST_LINE, _LONGEST_LINE = 40, 1 << 25


class Stage(NamedTuple):
    """The plan as it was at some time."""

    shards: int
    sources: int
    digest: str


def plan_lines(shards: Sequence[Shard]) -> list[str]:
    """A line for each source of some shards."""
    return [
        json.dumps(
            {"shard": shard.number, "path": source.path, "file": source.file, "bytes": source.size}
            | ({"columns": dict(source.columns)} if source.columns else {})
        )
        for shard in shards
        for source in shard.sources
    ]


def next_stage(head: dict[str, Any], stages: Sequence[Stage], lines: Sequence[str], shards: int) -> Stage:
    """The stage that follows, when the plan has these lines and so many shards. ``head``: what the run records."""
    return Stage(shards, len(lines), _digest(head, len(stages), lines))


def document_in(text: str | bytes) -> dict[str, Any]:
    """A record, parsed. Raises `ValueError` if it is none: no JSON, or with numbers that JSON does not have."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"it holds {one_line(document, 40)}")
    json.dumps(document, allow_nan=False)  # NaN, and what is beyond a float, such as 1e999
    return document


def stages_of(recorded: dict[str, Any]) -> list[Stage]:
    """The stages of a record. Raises `ValueError`, `KeyError` or `TypeError` if they are none."""
    stages = [Stage(*(one[name] for name in Stage._fields)) for one in (*recorded.get("grown", ()), recorded)]
    for before, stage in zip([Stage(0, 0, ""), *stages], stages, strict=False):
        counts = (*before[:2], *stage[:2])
        if not all(type(count) is int and count >= 0 for count in counts) or not isinstance(stage.digest, str):
            raise ValueError(f"a stage {one_line(stage, 80)}")
        if stage.shards < before.shards or stage.sources - before.sources < stage.shards - before.shards:
            raise ValueError(f"{stage.shards} shards of {stage.sources} sources")  # a shard has at least one source
    return stages


def as_grown(stages: Sequence[Stage]) -> dict[str, Any]:
    """Stages as a record has them: the last one's values, and those before it."""
    earlier = [stage._asdict() for stage in stages[:-1]]
    return {**stages[-1]._asdict(), **({"grown": earlier, "version": GROWN} if earlier else {})}


def check_digests(head: dict[str, Any], stages: Sequence[Stage], lines: Sequence[str]) -> bool:
    """Whether each stage has the digest of its lines."""
    return len(lines) == stages[-1].sources and all(
        stage.digest == _digest(head, number, lines[: stage.sources]) for number, stage in enumerate(stages)
    )


def planned_shards(lines: Sequence[str], stages: Sequence[Stage]) -> list[Shard]:
    """The planned shards. Raises `ValueError`, `KeyError` or `TypeError` if the lines are not those of a plan."""
    shards: list[Shard] = []
    begin = 0
    for stage in stages:
        groups: dict[int, list[Source]] = {number: [] for number in range(len(shards), stage.shards)}
        for line in lines[begin : stage.sources]:
            number, source = _planned(line)
            if number not in groups:
                raise ValueError(f"a source {one_line(line, 80)}")
            groups[number].append(source)
        shards += [Shard(number, stage.shards, tuple(group), stage.digest) for number, group in groups.items()]
        begin = stage.sources
    return shards


def _planned(line: str) -> tuple[int, Source]:
    item = json.loads(line)
    number, source = item["shard"], Source(item["path"], item["file"], item["bytes"], item.get("columns", {}))
    if not (isinstance(source.path, str) and isinstance(source.file, str) and type(number) is int):
        raise ValueError(f"a source {one_line(line, 80)}")
    if type(source.size) is not int or not 0 <= source.size < 2**63:
        raise ValueError(f"a source {one_line(line, 80)}")
    return number, source._replace(columns=checked_columns(source.columns))


def lines_of(text: str) -> list[str]:
    """The lines of a plan. Raises `ValueError` for many empty ones, or a long one: parsed, they take far more room."""
    if text.count("\n") * _SHORTEST_LINE > len(text):
        raise ValueError("lines of the plan are empty")
    lines = text.splitlines()
    if max(map(len, lines), default=0) > _LONGEST_LINE:
        raise ValueError(f"a line of the plan has more than {_LONGEST_LINE} characters")
    return lines


def _digest(head: dict[str, Any], number: int, lines: Sequence[str]) -> str:
    values = head | {"version": GROWN if number else VERSION}
    text = "\n".join([json.dumps(values, sort_keys=True), *lines])
    return hashlib.sha256(text.encode()).hexdigest()
