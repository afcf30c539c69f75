"""MusicGen's delay pattern: level k of a frame comes k steps after level 0, so it can depend on the levels before it.

    c00 c01 c02 c03 pad pad
    pad c10 c11 c12 c13 pad
    pad pad c20 c21 c22 c23        (level, frame)

Jade Copet and others, Simple and Controllable Music Generation, 2023 (arXiv 2306.05284), section 2.2 and figure 1.

Knows: this order, with any delays. Does not know: which delays are good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..engine.base import Codes
from ..errors import InputError
from ..system.foreign_data import is_whole, one_line
from .limits import MOST_DELAY
from .pattern import Pattern, PatternDecoder, PatternEncoder
from .vocabulary import Ids, Vocabulary


class Delay(Pattern):
    """K tokens at each step, level k delayed by ``delays[k]`` steps. N = T + the longest delay; 0 without frames.

    Args:
        vocabulary: maps codes to ids.
        bos: begin with the token `Vocabulary.bos`.
        eos: end with the token `Vocabulary.eos`.
        delays: steps for each level, the smallest of them 0; None: 0, 1 … K − 1.

    Raises:
        InputError: delays that are not like that.
    """

    in_rows = True

    def __init__(
        self, vocabulary: Vocabulary, bos: bool = False, eos: bool = False, delays: Sequence[int] | None = None
    ) -> None:
        super().__init__(vocabulary, bos, eos)
        levels = vocabulary.n_codebooks
        given = range(levels) if delays is None else delays
        steps = list(given) if isinstance(given, Iterable) else [given]
        whole = all(is_whole(delay, 0, MOST_DELAY) for delay in steps)
        if len(steps) != levels or not whole or min(steps) != 0:
            raise InputError(
                f"delays are {one_line(steps)}; wanted {levels} whole numbers, the least of them 0, and none above "
                f"{MOST_DELAY}"
            )
        self.delays = tuple(int(delay) for delay in steps)  # numpy's would overflow

    @property
    def longest(self) -> int:
        """The longest delay. Frame t is complete at step t + `longest`."""
        return max(self.delays)

    def encoder(self) -> PatternEncoder:
        return _Encoder(self)

    def decoder(self) -> PatternDecoder:
        return _Decoder(self)


class _Encoder(PatternEncoder):
    def __init__(self, pattern: Delay) -> None:
        super().__init__(pattern)
        self._delays, self._longest, self._any = pattern.delays, pattern.longest, False
        self._held = pattern._ids(self._longest, pattern.vocabulary.pad)  # the last frames; at first, pads

    def _push(self, ids: Ids) -> Ids:
        self._any |= ids.shape[1] > 0
        known = np.concatenate([self._held, ids], axis=1)
        self._held = known[:, ids.shape[1] :]
        starts = [self._longest - delay for delay in self._delays]
        return np.stack([row[start : start + ids.shape[1]] for row, start in zip(known, starts, strict=True)])

    def _end(self) -> Ids:
        return self._push(self._pattern._ids(self._longest * self._any, self._pattern.vocabulary.pad))


class _Decoder(PatternDecoder):
    def __init__(self, pattern: Delay) -> None:
        super().__init__(pattern)
        self._delays, self._longest = np.array(pattern.delays), pattern.longest
        self._held = pattern._ids(0, 0)  # the steps from the next frame's level 0 onwards
        self._frames = 0

    def _take(self, ids: Ids, last: bool) -> Codes:
        steps = np.concatenate([self._held, ids], axis=1)
        frames = max(0, steps.shape[1] - self._longest)
        number = self._frames + np.arange(steps.shape[1])
        self._need_pads(steps, number < self._delays[:, None], "before its level begins")
        codes = self._pattern.vocabulary.codes(
            np.stack([row[delay : delay + frames] for row, delay in zip(steps, self._delays, strict=True)]),
            self._frames,
        )
        if last:
            total, rest = self._frames + frames, steps.shape[1]
            if not total and rest:
                raise InputError(
                    f"the sequence ends after {rest} steps; wanted {self._longest} more than there are frames"
                )
            self._need_pads(steps, number >= total + self._delays[:, None], "after its level ends")
        self._held, self._frames = steps[:, frames:], self._frames + frames
        return codes

    def _need_pads(self, steps: Ids, where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], when: str) -> None:
        pad = self._pattern.vocabulary.pad
        wrong = where & (steps != pad)
        if wrong.any():
            level, step = (int(i) for i in np.argwhere(wrong)[0])
            name = self._pattern.vocabulary.name(int(steps[level, step]))
            raise InputError(
                f"token {name} at step {self._frames + step}, codebook {level}, {when}; wanted pad, {pad}: "
                "the sequence breaks off, or is not of these delays"
            )
