"""A codec that costs nothing, to measure the service alone. As a program, it is ``streamrvq serve`` with that codec.

A frame's codes are the low bits of the first samples of its hop, one for each level. So a lost sample, a frame of
another stream or a frame out of order is noticed, although nothing is computed.

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
from streamrvq.engine.counts import HopCounts
from streamrvq.families import plan
from streamrvq.geometry import Direction, Plan
from streamrvq.weights import seeded

from .tiny_codec import CONFIG


class NullStates:
    """States that hold nothing."""

    def __init__(self, slots: int, plan: Plan) -> None:
        self.slots, self.plan, self.counts = slots, plan, HopCounts(slots)


class NullEngine:
    """`streamrvq.engine.base.Engine` without arithmetic."""

    name, description, threads, row_hops = "null", "null: no arithmetic", 1, 32
    dtype: np.dtype[Any] = np.dtype(np.float32)

    def __init__(self, config: CodecConfig) -> None:
        self.config = config

    def new_states(self, slots: int, direction: Direction) -> NullStates:
        """States of ``slots`` slots."""
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

    def hop_counts(self, states: Any, slots: Ints) -> Ints:
        """All 0: a step changes nothing, so that one that was interrupted may be computed again."""
        return np.zeros(len(slots), np.int64)

    def reset(self, states: Any, slots: Ints) -> None:
        """Nothing to do."""

    def export_state(self, states: Any, slot: int) -> list[Floats]:
        """Do nothing: there is no state."""
        return []

    def import_state(self, states: Any, slot: int, histories: Sequence[Floats], clock: int = 0) -> None:
        """Nothing to do."""


def null_codec() -> Codec:
    """A codec whose engine computes nothing."""
    return Codec(seeded(CONFIG, name="null"), engine=NullEngine(CONFIG))


def main(arguments: Sequence[str]) -> None:
    """Run ``streamrvq serve`` with the null codec in place of the one that it would load."""
    from streamrvq.cli import main as cli
    from streamrvq.cli import serve

    def load(*_: object, **__: object) -> Codec:
        return null_codec()

    vars(serve)["load"] = load
    cli(["serve", *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
