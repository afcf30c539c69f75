"""A campaign: one target fuzzed for a time, by a process that is started again when an input ends it.

Knows: processes, the files of a campaign. Does not know: formats, atheris.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .judging import MOST_MEMORY, MOST_SECONDS, Fault
from .shared import Shared
from .target import Target, in_memory

#: Seconds without a finished input after which the process is ended: some code in C never came back.
_STUCK = 3 * MOST_SECONDS
#: Seconds that a process may take to start: it imports and instruments the package.
_START = 180.0


@dataclasses.dataclass(frozen=True)
class Report:
    """What a campaign found. Memory is in bytes.

    Attributes:
        faults: each with how often it came, and the name of the first input that it came with.
    """

    name: str
    seconds: float
    runs: int
    start: int
    peak: int
    faults: dict[Fault, tuple[int, str]]

    def count(self, kind: str) -> int:
        """How many inputs had a fault of ``kind``."""
        return sum(count for fault, (count, _) in self.faults.items() if fault.kind == kind)

    @property
    def grown(self) -> int:
        """Bytes by which the process grew."""
        return max(0, self.peak - self.start)

    @property
    def passed(self) -> bool:
        return not self.faults and self.grown <= MOST_MEMORY and self.runs > 0


def run(target: Target, seconds: float, folder: Path) -> Report:
    """Fuzz ``target`` in ``folder``, which keeps the corpus from one campaign to the next.

    The inputs with faults lie in ``folder/faults``, and what libFuzzer printed in ``folder/log``.
    """
    for part in ("corpus", "faults"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (folder / "corpus" / f"seed-{number}").write_bytes(seed)
    (folder / "faults.jsonl").write_text("")
    Shared(folder / "shared", make=True)
    began, left = time.monotonic(), seconds
    while _once(target.name, folder, max(1, round(left))):
        left = seconds - (time.monotonic() - began)
        if left <= 1:
            break
    shared, found = Shared(folder / "shared"), Counter[Fault]()
    inputs: dict[Fault, str] = {}
    for line in (folder / "faults.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        fault = Fault(row["kind"], row["what"])
        found[fault] += 1
        inputs.setdefault(fault, row["input"])
    faults = {fault: (count, inputs[fault]) for fault, count in found.most_common()}
    return Report(target.name, time.monotonic() - began, shared.runs, shared.start, shared.peak, faults)


def _once(name: str, folder: Path, seconds: int) -> bool:
    """Run one process. Returns whether another one may follow: this one came as far as its inputs."""
    before = Shared(folder / "shared").runs
    # libFuzzer ends the process without a chance to remove its files, so they lie in a folder of this one.
    with (folder / "log").open("a") as log, tempfile.TemporaryDirectory(dir=in_memory()) as scratch:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.fuzzing.child", name, str(folder), str(seconds)],
            stdout=log, stderr=log, env=os.environ | {"TMPDIR": scratch},
        )  # fmt: skip
        try:
            stuck = _wait(process, folder / "shared")
        finally:
            process.kill()
            process.wait()
    shared = Shared(folder / "shared")
    if stuck or (process.returncode and shared.current()):
        what = f"no answer within {_STUCK:g} s" if stuck else f"the process ended with code {process.returncode}"
        kept = folder / "faults" / f"{'hang' if stuck else 'crash'}-{shared.runs}"
        kept.write_bytes(shared.current())
        with (folder / "faults.jsonl").open("a", encoding="utf-8") as file:
            row = {"kind": "hang" if stuck else "traceback", "what": what, "input": kept.name}
            file.write(json.dumps(row) + "\n")
        shared.done(0)
    return shared.runs > before


def _wait(process: subprocess.Popen[bytes], counters: Path) -> bool:
    """Wait for the process to end. Returns whether it stopped finishing inputs."""
    runs, since, limit = Shared(counters).runs, time.monotonic(), _START
    while True:
        try:
            process.wait(0.5)
            return False
        except subprocess.TimeoutExpired:
            now = Shared(counters).runs
            if now != runs:
                runs, since, limit = now, time.monotonic(), _STUCK
            elif time.monotonic() - since > limit:
                return True
