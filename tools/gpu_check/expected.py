"""The hashes that a GPU must reach, made on a CPU by the native engine.

    python -m tools.gpu_check --expect FILE

Knows: the file, a JSON object of codec → case → digests; hashes.json is one. Does not know: what is in a case
(cases.py).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamrvq.engine.native import NativeEngine

from .cases import CODECS, Case, Codec, answers, cases, digest

Expected = dict[str, Any]
HASHES = Path(__file__).parent / "hashes.json"


def write(path: Path, names: Sequence[str] = (), factor: float = 1.0, threads: int | None = None) -> None:
    """Compute the cases of the named codecs, or of all, and put them into the file, which may be there already.

    The file is written after each codec, so that what is there can be used.

    Args:
        factor: this many times the usual seconds of audio.
    """
    found: Expected = read(path) if path.exists() else {"codecs": {}}
    for codec in [CODECS[name] for name in names or CODECS]:
        begin = time.perf_counter()
        weights = codec.weights()
        engine = NativeEngine(codec.config, weights.tensors, threads=threads)
        digests = {case.name: folded(answers(engine, case)) for case in cases(codec, factor)}
        found["codecs"][codec.name] = {"factor": factor, "weights": weights_digest(codec), "cases": digests}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        part.replace(path)
        print(f"{codec.name}: {len(digests)} cases, {time.perf_counter() - begin:.0f} s", flush=True)


def folded(digests: list[str]) -> list[str]:
    """A case's digests as nine at most: those of its steps in eight runs of them, and the last as it is."""
    *steps, last = digests
    each = -(-len(steps) // 8)
    runs = [steps[at : at + each] for at in range(0, len(steps), each)]
    return [
        *(run[0] if len(run) == 1 else hashlib.sha256("".join(run).encode()).hexdigest()[:16] for run in runs),
        last,
    ]


def weights_digest(codec: Codec) -> str:
    """Of a codec's weights: if it differs, so does everything."""
    return digest([value for _, value in sorted(codec.weights().tensors.items())])


def read(path: Path) -> Expected:
    """What `write` wrote."""
    found: Expected = json.loads(path.read_text(encoding="utf-8"))
    return found


def cases_of(expected: Expected, codec: Codec) -> list[tuple[Case, list[str]]]:
    """The cases of a codec that the file has, with their digests."""
    known = expected["codecs"].get(codec.name)
    if known is None:
        return []
    found = known["cases"]
    return [(case, found[case.name]) for case in cases(codec, known["factor"]) if case.name in found]
