"""VALL-E's order: first level 0 of all frames, which a model predicts token by token; then the other levels in turn.

    c00 c01 c02 … c10 c11 c12 … c20 c21 c22 …        (level, frame)

Chengyi Wang and others, Neural Codec Language Models are Zero-Shot Text to Speech Synthesizers, 2023 (arXiv
2301.02111), section 4.2. Its autoregressive model sees the first T tokens; its other model predicts the rest, one level
at a time.

Knows: this order. In a live stream level 0 leaves with each frame, and the other levels are held until the end.
Does not know: vocabularies, models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.base import Codes
from ..errors import InputError
from .pattern import Pattern, PatternDecoder, PatternEncoder
from .vocabulary import Ids, Vocabulary


class CoarseFirst(Pattern):
    """Level by level in one row. N = K · T. The first id of level 1 shows how many frames there are.

    Args:
        vocabulary: which id a code is.
        bos: begin with the token `Vocabulary.bos`.
        eos: end with the token `Vocabulary.eos`.

    Raises:
        InputError: the levels share their ids, so no id could show where level 1 begins.
    """

    in_rows = False

    def __init__(self, vocabulary: Vocabulary, bos: bool = False, eos: bool = False) -> None:
        super().__init__(vocabulary, bos, eos)
        if vocabulary.shared and vocabulary.n_codebooks > 1:
            raise InputError("the levels of this vocabulary share their ids; wanted ids of its own for each level")

    def encoder(self) -> PatternEncoder:
        return _Encoder(self)

    def decoder(self) -> PatternDecoder:
        return _Decoder(self)


class _Parts(NamedTuple):
    """Arrays one after the other. Immutable, except that the one made from it by `added` shares its list."""

    held: list[npt.NDArray[np.int64]]
    number: int = 0  # of those in the list that belong to it; what is behind them came from an exception's call

    @property
    def all(self) -> list[npt.NDArray[np.int64]]:
        return self.held[: self.number]

    def added(self, part: npt.NDArray[np.int64]) -> _Parts:
        """These and one more, without a copy of the others. Nothing may be added to these again afterwards."""
        self.held[self.number :] = [part]
        return _Parts(self.held, self.number + 1)


class _Encoder(PatternEncoder):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__(pattern)
        self._rest = _Parts([])

    def _push(self, ids: Ids) -> Ids:
        self._rest = self._rest.added(ids[1:])
        coarse: Ids = ids[0]
        return coarse

    def _end(self) -> Ids:
        parts = self._rest.all
        return np.concatenate(parts, axis=1).ravel() if parts else self._pattern._ids(0, 0)


class _Decoder(PatternDecoder):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__(pattern)
        self._coarse = _Parts([])  # level 0, until it is complete
        self._frames = 0  # of level 0 so far
        self._codes: Codes | None = None  # all levels, once level 0 is complete
        self._done = 0  # codes received so far

    def _take(self, ids: Ids, last: bool) -> Codes:
        vocabulary = self._pattern.vocabulary
        levels, size = vocabulary.n_codebooks, vocabulary.codebook_size
        coarse = ids - vocabulary.first(0)
        fits = (coarse >= 0) & (coarse < size)
        head = 0 if self._codes is not None else len(ids) if levels == 1 or fits.all() else int(np.argmin(fits))
        if not fits[:head].all() or (head < len(ids) and not self._frames + head):
            at = int(np.argmin(fits))
            raise vocabulary.wrong(int(ids[at]), 0, f"frame {self._frames + at}")
        frames, rest = self._frames + head, ids[head:]
        first = self._done + head
        self._check_rest(rest, frames, first)
        if last and first + len(rest) != levels * frames:
            raise InputError(
                f"the sequence ends after {first + len(rest)} tokens, {frames} of them of codebook 0; "
                f"wanted {levels} times as many: it breaks off"
            )
        self._coarse = self._coarse.added(coarse[:head])
        self._frames = frames
        if levels == 1:
            self._done, self._coarse = first, _Parts([])
            return coarse[None]
        if self._codes is None and len(rest):
            self._codes = np.zeros((levels, frames), np.int64)
            self._codes[0], self._coarse = np.concatenate(self._coarse.all), _Parts([])
        self._done = first + len(rest)
        if self._codes is None:
            return np.zeros((levels, 0), np.int64)
        offsets = (first + np.arange(len(rest))) // frames * size
        self._codes.reshape(-1)[first : self._done] = rest - vocabulary.first(0) - offsets
        whole = (levels - 1) * frames
        return self._codes[:, max(0, first - whole) : max(0, self._done - whole)].copy()

    def _check_rest(self, rest: Ids, frames: int, first: int) -> None:
        vocabulary = self._pattern.vocabulary
        at = first + np.arange(len(rest))
        level = at // max(1, frames)
        low = vocabulary.offset + level * vocabulary.codebook_size
        wrong = (rest < low) | (rest >= low + vocabulary.codebook_size) | (level >= vocabulary.n_codebooks)
        if wrong.any():
            i = int(np.argmax(wrong))
            if level[i] >= vocabulary.n_codebooks:
                raise InputError(
                    f"token {vocabulary.name(int(rest[i]))} came after all {vocabulary.n_codebooks} codebooks of "
                    f"{frames} frames; wanted the end"
                )
            raise vocabulary.wrong(int(rest[i]), int(level[i]), f"frame {int(at[i] % frames)}")
