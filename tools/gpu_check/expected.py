"""The hashes that a card must reach, made on a CPU by the native engine.

    python -m tools.gpu_check --expect FILE

Knows: the file, a JSON object of codec → case → digests. Does not know: what is in a case (cases.py).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from streamrvq.engine.native import NativeEngine
from streamrvq.geometry import Direction

from .cases import CODECS, Case, Codec, answers, cases, digest

Expected = dict[str, Any]


def write(path: Path, factor: float = 1.0, threads: int | None = None) -> None:
    """Compute all cases, and write the file anew after each codec, so that what is there can be used."""
    found: Expected = {"factor": factor, "codecs": {}}
    for codec in CODECS.values():
        begin = time.perf_counter()
        weights = codec.weights()
        engine = NativeEngine(codec.config, weights.tensors, threads=threads)
        digests = {case.name: answers(engine, case) for case in cases(codec, factor)}
        found["codecs"][codec.name] = {"weights": weights_digest(codec), "cases": digests}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=0), encoding="utf-8")
        part.replace(path)
        print(f"{codec.name}: {len(digests)} cases, {time.perf_counter() - begin:.0f} s", flush=True)


def weights_digest(codec: Codec) -> str:
    """Of a codec's weights: if it differs, so does everything."""
    return digest([value for _, value in sorted(codec.weights().tensors.items())])


def read(path: Path) -> Expected:
    """What `write` wrote."""
    found: Expected = json.loads(path.read_text(encoding="utf-8"))
    return found


def cases_of(expected: Expected, codec: Codec, direction: Direction | None = None) -> list[tuple[Case, list[str]]]:
    """The cases of a codec that the file has, with their digests."""
    known = expected["codecs"].get(codec.name, {}).get("cases", {})
    return [
        (case, known[case.name])
        for case in cases(codec, expected["factor"])
        if case.name in known and direction in (None, case.direction)
    ]
