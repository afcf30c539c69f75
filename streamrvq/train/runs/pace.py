"""When a run writes its checkpoint, and how fast it goes.

On a GPU 500 steps take seconds. So a checkpoint there is due by the clock as well: not again within some seconds, and
at the latest after a minute.

Knows: the clock. Does not know: what a checkpoint is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..config import TrainConfig

SOON, LATE = 20.0, 50.0  #: seconds after a checkpoint in which no other is due, and after which one is


class Pace:
    """When a run writes checkpoints and reads figures.

    Args:
        config: of the run.
        by_clock: whether the clock counts beside the steps.
        clock: in seconds.
    """

    def __init__(self, config: TrainConfig, by_clock: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._config, self._by_clock, self._clock = config, by_clock, clock
        self._kept = self._read = clock()
        self._read_step: int | None = None

    def is_due(self, step: int) -> bool:
        """Whether the checkpoint of ``step`` should be written."""
        planned = step % self._config.checkpoint_every == 0
        if not self._by_clock:
            return planned
        since = self._clock() - self._kept
        return since >= LATE or (planned and since >= SOON)

    def kept(self) -> None:
        """One was written."""
        self._kept = self._clock()

    def since_last(self, step: int, operations: float | None, peak: float | None) -> dict[str, Any]:
        """The speed since the last call, for the log; nothing in the first one.

        Args:
            step: done so far.
            operations: floating-point operations in a step; None: not known.
            peak: operations a second that the device can do at most; None: not known.
        """
        now, before, first = self._clock(), self._read, self._read_step
        self._read, self._read_step = now, step
        if first is None or now <= before or step <= first:
            return {}
        steps = (step - first) / (now - before)
        found: dict[str, Any] = {"speed_now": round(steps * self._config.step_seconds, 2)}
        if operations is not None:
            found["tflops"] = round(steps * operations / 1e12, 3)
            found["of_peak"] = round(steps * operations / peak, 4) if peak is not None else "unknown"
        return found
