"""The state of a trainer, as a checkpoint keeps it.

Knows: its parts and their names. Does not know: files, when a state is whole (loop.py).
"""

from __future__ import annotations

from typing import Any

from ..device.trained import Trained
from ..optimizer import load_state


def state_of(trainer: Trained) -> dict[str, Any]:
    """Everything that `take_state` needs."""
    state = {
        "config": trainer.config.to_dict(), "step": trainer.step, "model": trainer.model.state_dict(),
        "average": trainer.average.state_dict(), "optimizer": trainer.optimizer.state_dict(),
        "followers": trainer.running_means.state(),
    }  # fmt: skip
    if trainer.discriminators is not None:
        state["judges"] = trainer.discriminators.state_dict()
        state["judge_optimizer"] = trainer.discriminator_optimizer.state_dict()
    return state


def take_state(trainer: Trained, state: dict[str, Any]) -> None:
    """Give ``trainer`` a `state_of`. Its discriminators stay as they are if the state has none of their width."""
    trainer.step = int(state["step"])
    trainer.model.load_state_dict(state["model"])
    trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.running_means.load(state["followers"])
    width = trainer.config.discriminator_width
    same = "judges" in state and state["config"].get("discriminator_width", width) == width
    if trainer.discriminators is not None and same:
        trainer.discriminators.load_state_dict(state["judges"])
        load_state(trainer.discriminator_optimizer, state["judge_optimizer"])
