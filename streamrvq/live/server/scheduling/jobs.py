"""A lane's queue of work, and how parts are taken off it.

Two threads use it, one at each end: one adds, the other takes. The ends of a deque are safe to use so.

Knows: samples, codes, silence, ends of signals, their order. Does not know: pools, rates, why so much is taken.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Silence:
    """Zeros in place of lost samples. They wait as a number, and become samples as they are taken."""

    samples: int


Inputs: TypeAlias = npt.NDArray[Any] | Silence
Ending: TypeAlias = Literal["segment", "close"]


def length(inputs: Inputs) -> int:
    """How many inputs these are."""
    return inputs.samples if isinstance(inputs, Silence) else int(inputs.shape[-1])


class Jobs:
    """Inputs and ends of signals, in order."""

    def __init__(self) -> None:
        self._jobs: deque[Inputs | Ending] = deque()

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def add(self, job: Inputs | Ending) -> None:
        """Add one at the end."""
        self._jobs.append(job)

    def take_ending(self) -> Ending | None:
        """Take the first job off if it is the end of a signal; None: inputs come first. There must be a job."""
        job = self._jobs[0]
        if not isinstance(job, str):
            return None
        self._jobs.popleft()
        return job

    def take(self, most: int) -> npt.NDArray[Any]:
        """Take up to ``most`` inputs off the first job and those like it that follow, in one piece: each takes time.

        Codes of another number of levels are not like it.
        """
        job = self._jobs[0]
        if isinstance(job, Silence):
            count = min(job.samples, most)
            self._replace_first(None if count == job.samples else Silence(job.samples - count))
            return np.zeros(count, np.float32)
        parts: list[npt.NDArray[Any]] = []
        while most and isinstance(job, np.ndarray) and (not parts or _alike(job, parts[0])):
            parts.append(job[..., :most])
            self._replace_first(None if job.shape[-1] <= most else job[..., most:])
            most -= parts[-1].shape[-1]
            job = self._jobs[0] if self._jobs else "close"
        return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)

    def clear(self) -> None:
        """Forget all."""
        self._jobs.clear()

    def _replace_first(self, rest: Inputs | None) -> None:
        if rest is None:
            self._jobs.popleft()
        else:
            self._jobs[0] = rest


def _alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype == other.dtype and one.shape[:-1] == other.shape[:-1]
