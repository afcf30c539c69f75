"""A codec that costs nothing: what is left is the service. Run as a program it is ``streamrvq serve`` with that codec.

A frame's codes are the low bits of the first samples of its hop, one for each level, so that a lost sample, frames of
another stream or frames out of order show, though nothing is computed.

Knows: the engine contract. Does not know: who uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamrvq.codec import Codec
from streamrvq.config import CodecConfig
from streamrvq.engine.base import Codes, Floats, Ints
from streamrvq.families import plan
from streamrvq.geometry import Direction, Plan
from streamrvq.weights import seeded

from .tiny import CONFIG


class NullStates:
    """No state."""

    def __init__(self, slots: int, plan: Plan) -> None:
        self.slots, self.plan = slots, plan


class NullEngine:
    """`streamrvq.engine.base.Engine` without arithmetic."""

    name, description, threads = "null", "null: no arithmetic", 1
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, config: CodecConfig) -> None:
        self.config = config

    def new_states(self, slots: int, direction: Direction) -> NullStates:
        """Nothing for each of them."""
        return NullStates(slots, plan(self.config, direction))

    def encode_step(
        self, pcm: Floats, states: Any, slots: Ints, clock: Ints, length: Ints, levels: int, latents: bool = False
    ) -> tuple[Codes, Floats | None]:
        """The low bits of each hop's first samples."""
        first = pcm.reshape(pcm.shape[0], -1, self.config.hop_length)[:, :, :levels]
        codes: Codes = (first * np.float32(32768)).astype(np.int64) & (self.config.codebook_size - 1)
        return codes.transpose(0, 2, 1), None

    def decode_step(self, codes: Codes, states: Any, slots: Ints, clock: Ints, length: Ints) -> Floats:
        """Silence."""
        return np.zeros((codes.shape[0], codes.shape[2] * self.config.hop_length), self.dtype)

    def reset(self, states: Any, slots: Ints) -> None:
        """Nothing to do."""

    def export_state(self, states: Any, slot: int) -> list[Floats]:
        """There is none."""
        return []

    def import_state(self, states: Any, slot: int, histories: Sequence[Floats]) -> None:
        """Nothing to do."""


def null_codec() -> Codec:
    """Everything of a codec but its cost."""
    return Codec(seeded(CONFIG, name="null"), engine=NullEngine(CONFIG))


def main(arguments: Sequence[str]) -> None:
    """``streamrvq serve`` as it is, but for what it loads."""
    from streamrvq.cli import main as cli
    from streamrvq.cli import serve

    def load(*_: object) -> Codec:
        return null_codec()

    vars(serve)["load"] = load
    cli(["serve", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
