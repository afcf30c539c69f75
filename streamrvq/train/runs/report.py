"""What is said of a run's steps: to the observer, and in the log.

Knows: when a row is due, and what it has. Does not know: how figures are computed or shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..config import TrainConfig
from ..device.runner import Runner
from ..steps.schedule import rate_factor
from .log import Means
from .observer import RunObserver
from .pace import Pace


class Report:
    """Reports the steps after ``first``.

    Args:
        runner: of a run on a GPU; None: every step has its figures.
        log: takes a row.
    """

    def __init__(
        self, config: TrainConfig, first: int, pace: Pace, runner: Runner | None, observer: RunObserver,
        log: Callable[[dict[str, Any]], None],
    ) -> None:  # fmt: skip
        self._config, self._pace, self._runner, self._observer, self._log = config, pace, runner, observer, log
        self._means, self._read = Means(), first

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, float]) -> None:
        """``step`` steps are done; ``figures`` are means over those since figures came last. Empty: none came."""
        effort: dict[str, Any] = {}
        if figures:
            self._means.add(figures, step - self._read)
            self._read = step
            if self._runner is not None:
                effort = self._pace.since_last(step, self._runner.operations, self._runner.peak)
            self._observer.stepped(step, audio_seconds, speed, figures | effort)
        if step % self._config.log_every == 0:
            now = self._config.lr * rate_factor(self._config, step - 1)
            self._log({"event": "train", "lr": now, "speed": round(speed, 2), **effort, **self._means.take()})
