"""The figures of steps, summed on the device and read when somebody asks.

Knows: sums, and how many steps in a row were lost. Does not know: what the figures mean.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..steps.ranks import ALONE, Ranks

NAMES = ("commitment", "mel", "stft", "compressed", "wave", "adversarial", "feature", "gradient")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was added since the last reading.

    Attributes:
        figures: means over the steps in which they occurred.
        steps: how many steps.
        lost: how many of them had no finite gradient.
        streak: how many of the last steps in a row, from whenever on.
        longest: the longest streak that ended or went on since.
        norm: the last gradient's length.
    """

    figures: dict[str, float]
    steps: int
    lost: int
    streak: int
    longest: int
    norm: float


class Tally:
    """Sums on ``device``. The host counts which figures a step has: that is known without looking.

    Args:
        ranks: who else has a part of each batch; `read` gives means over all parts.
    """

    def __init__(self, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._sums = torch.zeros(len(NAMES), device=device)
        self._counts = torch.zeros(3, device=device)  # lost, streak, longest
        self._norm = torch.zeros((), device=device)
        self.steps = 0
        self._seen = dict.fromkeys(NAMES, 0)

    @torch.no_grad()
    def add(self, figures: dict[str, Tensor], good: Tensor) -> None:
        """Add those of a step. Runs on the device; `count` is the host's part."""
        zero = torch.zeros_like(self._norm)
        self._sums += torch.stack([figures[name].float() if name in figures else zero for name in NAMES])
        lost, streak, longest = self._counts.unbind()
        bad = 1 - good
        now = (streak + 1) * bad
        self._counts.copy_(torch.stack([lost + bad, now, torch.maximum(longest, now)]))
        self._norm.copy_(figures["gradient"])

    def count(self, names: set[str]) -> None:
        """Say that a step with these figures was launched."""
        self.steps += 1
        for name in names & set(NAMES):
            self._seen[name] += 1

    @property
    def streak(self) -> int:
        """How many of the last steps in a row were lost. Waits for the device."""
        return int(self._counts[1])

    def read(self) -> Reading:
        """Wait for the device, and begin anew."""
        values = torch.cat([self._ranks.mean(self._sums), self._counts, self._norm[None]]).tolist()
        sums, (lost, streak, longest), norm = values[: len(NAMES)], values[len(NAMES) : -1], values[-1]
        figures = {name: total / self._seen[name] for name, total in zip(NAMES, sums, strict=True) if self._seen[name]}
        reading = Reading(figures, self.steps, int(lost), int(streak), int(longest), norm)
        self._sums.zero_()
        self._counts[0] = 0
        self._counts[2] = streak
        self.steps = 0
        self._seen = dict.fromkeys(NAMES, 0)
        return reading
