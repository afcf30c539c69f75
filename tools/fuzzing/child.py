"""The process that fuzzes one target: ``python -m tools.fuzzing.child NAME FOLDER SECONDS``.

It imports nothing of the package at its top: atheris must see every import, to instrument it.

Knows: atheris and libFuzzer's options. Does not know: what became of the faults that it writes down.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Fuzz until the time is over. libFuzzer ends the process."""
    import atheris

    name, folder, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with atheris.instrument_imports(include=["streamrvq"]):
        from .judging import fault_of, peak_memory
        from .registry import target_named
        from .shared import MOST_INPUT, Shared

        target = target_named(name)
    seeds = list(target.seeds())
    warnings.simplefilter("error")  # a warning is more than one line on stderr
    for seed in seeds:  # what is imported or made at the first use belongs to the memory at the start
        target.read(seed)
    shared = Shared(folder / "shared")
    shared.start = shared.start or peak_memory()

    def one_input(data: bytes) -> None:
        shared.reading(data)
        fault = fault_of(target, data)
        shared.done(peak_memory())
        if fault is not None:
            digest = hashlib.sha256(fault.what.encode()).hexdigest()[:8]
            kept = folder / "faults" / f"{fault.kind}-{digest}"
            if not kept.exists():
                kept.write_bytes(data)
            with (folder / "faults.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": fault.kind, "what": fault.what, "input": kept.name}) + "\n")

    longest = min(MOST_INPUT, max(4096, 4 * max(map(len, seeds))))
    options = {
        "max_total_time": seconds, "max_len": longest, "dict": Path(__file__).with_name("dictionary.txt"),
        # judging.py limits the time and the memory of an input; libFuzzer would end the process.
        "timeout": 0, "rss_limit_mb": 0, "artifact_prefix": f"{folder}/",
    }  # fmt: skip
    atheris.Setup(
        [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(folder / "corpus")], one_input
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
