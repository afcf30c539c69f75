"""The two simplest patterns: frame by frame in one row, and all levels of a frame at one step.

    flat      c00 c10 c20 c01 c11 c21 …           parallel      c00 c01 …
                                                                c10 c11 …
                                                                c20 c21 …            (level, frame)

Knows: these orders. MusicGen's paper (arXiv 2306.05284) calls them flattening and parallel. Does not know:
vocabularies, models.
"""

from __future__ import annotations

import numpy as np

from ..engine.base import Codes
from ..errors import InputError
from .pattern import Pattern, PatternDecoder, PatternEncoder
from .vocabulary import Ids


class Flat(Pattern):
    """K tokens for each frame, in one row: exact conditioning, and the longest sequence. N = K · T."""

    in_rows = False

    def encoder(self) -> PatternEncoder:
        return _FlatEncoder(self)

    def decoder(self) -> PatternDecoder:
        return _FlatDecoder(self)


class _FlatEncoder(PatternEncoder):
    def _push(self, ids: Ids) -> Ids:
        return ids.T.reshape(-1)

    def _end(self) -> Ids:
        return np.zeros(0, np.int64)


class _FlatDecoder(PatternDecoder):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__(pattern)
        self._held, self._frames = np.zeros(0, np.int64), 0

    def _take(self, ids: Ids, last: bool) -> Codes:
        vocabulary = self._pattern.vocabulary
        levels = vocabulary.n_codebooks
        tokens = np.concatenate([self._held, ids])
        frames, over = divmod(len(tokens), levels)
        if last and over:
            raise InputError(
                f"the sequence ends {over} tokens into frame {self._frames + frames}; wanted {levels} a frame"
            )
        # an incomplete frame is checked as far as it has come
        missing = [vocabulary.first(level) for level in range(over, levels)] if over else []
        whole = np.concatenate([tokens, np.array(missing, np.int64)]).reshape(-1, levels).T
        codes = vocabulary.codes(whole, self._frames)[:, :frames]
        self._held, self._frames = tokens[frames * levels :], self._frames + frames
        return codes


class Parallel(Pattern):
    """K tokens at each step, one step for each frame. N = T: the shortest sequence.

    A model predicts the levels of a frame independently of each other.
    """

    in_rows = True

    def encoder(self) -> PatternEncoder:
        return _ParallelEncoder(self)

    def decoder(self) -> PatternDecoder:
        return _ParallelDecoder(self)


class _ParallelEncoder(PatternEncoder):
    def _push(self, ids: Ids) -> Ids:
        return ids

    def _end(self) -> Ids:
        return self._pattern._ids(0, 0)


class _ParallelDecoder(PatternDecoder):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__(pattern)
        self._frames = 0

    def _take(self, ids: Ids, last: bool) -> Codes:
        codes = self._pattern.vocabulary.codes(ids, self._frames)
        self._frames += ids.shape[1]
        return codes
