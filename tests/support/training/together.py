"""A tiny run, by one process or by several that train together: ``python together.py CONFIG CACHE OUT``.

The last process ends it once, and it goes on. A second run has the steps of a GPU.

Knows: the package only, since a process that a test starts may not import the tests.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from streamrvq.train import TrainConfig
from streamrvq.train import run as run_module
from streamrvq.train.loop import Trainer
from streamrvq.train.run import Run
from streamrvq.train.runs.observer import Unobserved
from streamrvq.train.steps.ranks import find_ranks

FIRST_END = 3


class Counting(Unobserved):
    """Counts what is observed."""

    def __init__(self) -> None:
        self.events = 0

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, Any]) -> None:
        self.events += 1

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        self.events += 1

    def remarked(self, text: str) -> None:
        self.events += 1


def train(config: TrainConfig, cache: Path, out: Path) -> int:
    """Train in folders below ``out``. Returns how many events were observed."""
    ranks, observer = find_ranks("cpu"), Counting()
    for name, waits, ends in (("host", True, (FIRST_END, config.steps)), ("card", False, (config.steps,))):
        for end in ends:
            patch = mock.patch.object(run_module, "Trainer", lambda *args, w=waits: Trainer(*args, waits=w))
            with patch, Run(config, out / name, observer, cache=cache, ranks=ranks) as run:
                last = ranks.rank == ranks.world - 1
                run.go(until=lambda run=run, end=end, last=last: last and run.trainer.step == end)  # type: ignore[misc]
                assert run.trainer.step == end, run.trainer.step
    ranks.close()
    return observer.events


if __name__ == "__main__":
    settings, cache, out = (Path(text) for text in sys.argv[1:])
    print(train(TrainConfig.from_dict(json.loads(settings.read_text())), cache, out))
