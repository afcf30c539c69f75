"""Steps that were lost. Without a finite gradient they change nothing, and many in a row end a run.

Knows: how many, and what is said then. Does not know: gradients.
"""

from __future__ import annotations

from ...errors import WeightsError

MAX_LOST = 10  #: steps in a row without a finite gradient


def lost_too_many(step: int, norm: float) -> WeightsError:
    """The error for `MAX_LOST` steps in a row to ``step`` without a finite gradient."""
    return WeightsError(
        f"the gradient of {MAX_LOST} steps in a row to step {step + 1} is {norm}; wanted a finite one: "
        "go on with a lower lr and small_lr"
    )


def left_half_done(step: int) -> WeightsError:
    """The error for a step after one that an exception ended between the first change and the last one."""
    return WeightsError(
        f"step {step + 1} was left half done, and cannot be done again; wanted a whole state: open the run again"
    )
