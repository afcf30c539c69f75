"""How a run is cut to the minutes that are left: first at the full rate, which also shows the speed; then to its end.

Phase "measure": no end is planned, and the rate rises once and stays. Phase "fall": as many steps as fit the time that
is left, over which the rate falls. A run whose speed is known from an earlier call begins with the second.

Knows: settings, logs, seconds. Does not know: processes, packs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamrvq.train import TrainConfig

#: Steps of a run whose end is not planned.
ENDLESS = 1 << 40
_MEASURED = 0.3  #: of the time, before the rate falls
_MARGIN = 0.95  #: of the steps that would fit: validations and checkpoints take the rest
_START = 15.0  #: seconds until a trainer's first step
_SAVE_SECONDS = 30.0  #: between two checkpoints. A killed run loses no more than that
_FIRST_SAVE = 200  #: steps between two, before the speed is known
_VALIDATIONS = 8  #: while the rate falls
_OFF = 1.2  #: how many times faster or slower than planned a run may be
_LEAST_LEFT = 4 * _START  #: seconds for which it is worth to plan again, as another start costs `_START`


@dataclass(frozen=True)
class Phase:
    """A call of ``streamrvq train``: its settings, and its longest time."""

    config: TrainConfig
    seconds: float
    name: str


def changed(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The settings with others in place of some. Tables are changed key by key. Raises `ConfigError`."""
    settings = config.to_dict()
    for name, value in values.items():
        old = settings.get(name)
        settings[name] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return TrainConfig.from_dict(settings)


def next_phase(
    config: TrainConfig, rows: Sequence[Mapping[str, Any]], speed: float | None, left: float, keep_rate: bool
) -> Phase:
    """What to do in the ``left`` seconds.

    Args:
        config: of the run, without an end.
        rows: of the run's log so far.
        speed: steps a second on this machine; None: not known yet.
        keep_rate: another call goes on, so the rate stays.
    """
    # Of a run that was killed, the log goes further than the checkpoint.
    step = next((int(row["step"]) for row in reversed(rows) if row["event"] == "checkpoint"), 0)
    every = min(config.checkpoint_every, _FIRST_SAVE) if speed is None else max(1, round(_SAVE_SECONDS * speed))
    if speed is None or keep_rate:
        endless = dataclasses.replace(config, steps=ENDLESS, checkpoint_every=every)
        return Phase(endless, left if keep_rate else _MEASURED * left, "at the full rate")
    more = max(1, round(_MARGIN * (left - _START) * speed))
    return Phase(
        dataclasses.replace(
            config, steps=step + more, decay_from=min(1.0, step / (step + more)),
            checkpoint_every=every, validate_every=max(1, more // _VALIDATIONS),
        ),
        left, f"{more} steps, the rate falling",
    )  # fmt: skip


def speed_to_plan_with(planned: float | None, rows: Sequence[Mapping[str, Any]], left: float) -> float | None:
    """The speed that a run has, if the planned one is so far off that its rate would end too high or its time be left.

    Args:
        planned: steps a second; None: no end is planned.
        rows: of the run's log, those of the present process.
        left: seconds.

    Returns:
        steps a second; None: go on.
    """
    trained = [row for row in rows if row["event"] == "train"]
    if planned is None or len(trained) < 3 or left < _LEAST_LEFT:  # the first row has what is compiled
        return None
    speed = speed_of(rows)
    return None if speed is None or planned / _OFF <= speed <= planned * _OFF else speed


def speed_of(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Steps a second at the end of a log; None if it has no row of steps.

    Two rows of one process say it best: what is compiled or counted at its start is left out.
    """
    trained = [row for row in rows if row["event"] == "train"]
    if not trained:
        return None
    last = trained[-1]
    since = [row for row in trained[-8:-1] if 0 < row["step"] < last["step"]]
    for row in since:
        seconds = last["train_seconds"] - row["train_seconds"]
        if seconds > 0:
            return float((last["step"] - row["step"]) / seconds)
    return float(last["step"] / last["train_seconds"]) if last["train_seconds"] > 0 else None
