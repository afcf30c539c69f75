"""The ends of signals in the torch engine: what a layer reads beside its input.

Knows: the rule of `streamrvq.geometry` for padding in the first step and in a partial last window, and the mask of
symmetric plans. Does not know: what layers compute.
"""

from __future__ import annotations

import torch

from ..geometry import Layer, Padding, Plan
from .base import Ints


class Edges:
    """Where the rows of a step stand in their signals.

    Args:
        plan: what they run through.
        clock: hops before this step, ``[B]``.
        length: inputs in all, ``[B]``, −1 where open.
    """

    def __init__(self, plan: Plan, clock: Ints, length: Ints) -> None:
        self._clock = [int(value) for value in clock]
        per_row = [[int(n), *plan.lengths(int(n))] for n in length]
        #: Of each layer's input, and of the last one's output: ``[layers + 1][B]``.
        self._lengths = [list(column) for column in zip(*per_row, strict=True)]

    def positions(self, layer: Layer) -> list[int]:
        """Each row's position of the first of its inputs to a layer that nothing delays."""
        return [clock * layer.rate_in for clock in self._clock]

    def mask(self, x: torch.Tensor, number: int, rate: int, delay: int) -> torch.Tensor:
        """Zero, in place, the values in front of layer ``number`` whose true time ``clock · rate + j − delay`` lies
        outside ``[0, length)``."""
        for row, (clock, length) in enumerate(zip(self._clock, self._lengths[number], strict=True)):
            first = clock * rate - delay
            if first < 0:
                x[row, : min(-first, x.shape[1])] = 0
            if 0 <= length < first + x.shape[1]:
                x[row, max(0, length - first) :] = 0
        return x

    def fill_start(self, past: torch.Tensor, x: torch.Tensor, number: int, layer: Layer) -> None:
        """In the first step of a row, set its kept inputs ``past [B, history, C]`` from its inputs ``x [B, n, C]``."""
        if layer.pad == Padding.ZERO:  # as a fresh state has them
            return
        for row, clock in enumerate(self._clock):
            if clock:
                continue
            if layer.pad == Padding.REPLICATE:
                past[row] = x[row, :1]
                continue
            length = self._lengths[number][row]
            most = x.shape[1] if length < 0 else min(length, x.shape[1])  # position −j reads row j, if there is one
            there = min(layer.history, most - 1)
            past[row] = 0
            past[row, layer.history - there :] = x[row, 1 : there + 1].flip(0)

    def fill_end(self, x: torch.Tensor, number: int, layer: Layer) -> None:
        """Fill up a partial last window in place: ``x [B, history + n, C]`` holds kept inputs and new ones."""
        count = x.shape[1] - layer.history
        for row, (first, length) in enumerate(zip(self.positions(layer), self._lengths[number], strict=True)):
            if not first < length < first + count:  # open, or whole windows, or the end is in another step
                continue
            end = length - first + layer.history  # the column of position `length`
            missing = -length % layer.stride
            x[row, end : end + missing] = 0
            if layer.pad == Padding.REPLICATE:
                x[row, end : end + missing] = x[row, end - 1]
            elif layer.pad == Padding.REFLECT and length > layer.history:
                x[row, end : end + missing] = x[row, end - 1 - missing : end - 1].flip(0)
