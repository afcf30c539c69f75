"""Which id stands for which code: an offset for each level, and the special tokens after the codes.

Knows: integers. Does not know: the order in which ids follow one another (pattern.py).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import as_array
from ..engine.base import Codes
from ..errors import InputError
from ..system.foreign_data import is_whole, one_line, shown
from .limits import MOST_ID, MOST_LEVELS

Ids = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The ids of K levels of codes and of three special tokens.

    With ``shared`` False each level has its own ids, ``code + level · codebook_size + offset``, for a model with one
    embedding table. With ``shared`` True all levels use the same ids, ``code + offset``, for a model with a table for
    each level, such as MusicGen. After the codes' ids come ``pad``, ``bos`` and ``eos``.

    Args:
        n_codebooks: K, the number of levels; all of a codec's levels, or the first few.
        codebook_size: entries of each level.
        offset: the first id, for example the size of a text vocabulary.
        shared: see above.

    Raises:
        InputError: ``n_codebooks`` or ``codebook_size`` below 1 or a negative ``offset``; more levels than tokens have,
            or ids beyond int64; or a ``shared`` that is not True or False.
    """

    n_codebooks: int
    codebook_size: int
    offset: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("n_codebooks", 1, MOST_LEVELS),
            ("codebook_size", 1, MOST_ID),
            ("offset", 0, MOST_ID),
        ):
            value = getattr(self, name)
            if not is_whole(value, least, most):
                raise InputError(
                    f"{name} is {one_line(repr(value), 60)}; wanted a whole number of at least {least} and at most "
                    f"{most}"
                )
            object.__setattr__(self, name, int(value))  # numpy's would overflow in silence
        check_flag("shared", self.shared)
        if self.size > MOST_ID:
            raise InputError(
                f"the ids of {self} reach {self.size - 1}; wanted at most {MOST_ID - 1}: int64 holds no more"
            )

    @property
    def pad(self) -> int:
        """The id that stands where a pattern has no code."""
        return self.offset + self.codebook_size * (1 if self.shared else self.n_codebooks)

    @property
    def bos(self) -> int:
        """The id that begins a sequence, if the pattern asks for it."""
        return self.pad + 1

    @property
    def eos(self) -> int:
        """The id that ends a sequence, if the pattern asks for it."""
        return self.pad + 2

    @property
    def size(self) -> int:
        """One more than the largest id: the rows that an embedding table needs."""
        return self.pad + 3

    def first(self, level: int) -> int:
        """The id of code 0 of a level, counted from 0. It is not checked."""
        return self.offset + (0 if self.shared else level * self.codebook_size)

    def ids(self, codes: npt.ArrayLike) -> Ids:
        """Codes ``[K, n]`` as ids ``[K, n]``.

        Raises:
            InputError: another shape or type, or a code out of range.
        """
        array = as_array(codes, "codes")
        if array.ndim != 2 or array.shape[0] != self.n_codebooks or array.dtype.kind not in "iu":
            raise InputError(
                f"codes are {array.dtype} {list(array.shape)}; wanted integers [{self.n_codebooks}, frames]: of fewer "
                "levels than the codec has take codes[:K]"
            )
        wrong = (array < 0) | (array >= self.codebook_size)
        if wrong.any():
            level, frame = (int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                f"code {int(array[level, frame])} at codebook {level}, frame {frame}; "
                f"wanted codes from 0 to {self.codebook_size - 1}"
            )
        return array.astype(np.int64) + self._firsts

    def codes(self, ids: npt.ArrayLike, position: int = 0) -> Codes:
        """The inverse of `ids`. ``position`` is the index of the first column, for the error message.

        Raises:
            InputError: another shape or type, or an id that does not belong to its level.
        """
        array = as_array(ids, "tokens")
        if array.ndim != 2 or array.shape[0] != self.n_codebooks:
            raise InputError(f"tokens have shape {list(array.shape)}; wanted [{self.n_codebooks}, frames]")
        ids = self.as_ids(array, f"[{self.n_codebooks}, frames]")
        codes: Codes = ids - self._firsts
        wrong = (codes < 0) | (codes >= self.codebook_size)
        if wrong.any():
            level, column = (int(i) for i in np.argwhere(wrong)[0])
            raise self.wrong(int(ids[level, column]), level, f"frame {position + column}")
        return codes

    def as_ids(self, array: npt.NDArray[Any], wanted: str) -> Ids:
        """Tokens of any type of integers as int64, without a copy if possible. ``wanted`` names their shape, for the
        error message.

        Raises:
            InputError: another type, or a token beyond int64.
        """
        if array.dtype.kind not in "iu":
            raise InputError(f"tokens are {array.dtype} {list(array.shape)}; wanted integers {wanted}")
        if array.dtype.kind == "u" and array.size and array.max() > MOST_ID:
            raise InputError(f"token {array.max()}; wanted ids of the vocabulary, 0 to {self.size - 1}")
        return array.astype(np.int64, copy=False)

    @property
    def _firsts(self) -> Ids:
        return np.array([[self.first(level)] for level in range(self.n_codebooks)], np.int64)

    def wrong(self, token: int, level: int, where: str) -> InputError:
        """The error for a token that stands where a token of ``level`` is wanted."""
        first = self.first(level)
        return InputError(
            f"token {self.name(token)} at {where}, codebook {level}; "
            f"wanted {first} to {first + self.codebook_size - 1}: the sequence is not of this pattern and vocabulary"
        )

    def name(self, token: int) -> str:
        """A token as text, with its name if it is special."""
        special = {self.pad: " (pad)", self.bos: " (bos)", self.eos: " (eos)"}
        return f"{token}{special.get(token, '')}"


def check_flag(name: str, value: object) -> None:
    """Refuse what is not True or False, such as the id of a token, with `InputError`."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {shown(value)}; wanted True or False")
