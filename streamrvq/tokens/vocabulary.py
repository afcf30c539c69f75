"""Which id stands for which code: offsets of the levels, and the special tokens after them.

Knows: integers. Does not know: in what order ids follow one another (patterns.py).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..audio.pcm import as_array
from ..engine.base import Codes
from ..errors import InputError

Ids = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The ids of K levels of codes and of three special tokens.

    With ``shared`` False each level has ids of its own, ``code + level · codebook_size + offset``: for a model with one
    table of tokens. With ``shared`` True all levels have the same, ``code + offset``: for one with a table a level, as
    MusicGen has. After the codes' ids come ``pad``, ``bos`` and ``eos``.

    Args:
        n_codebooks: K, the levels of the codes that are to be ids; all of a codec's, or the first few.
        codebook_size: entries a level.
        offset: the first id, such as the size of a vocabulary of text.
        shared: see above.

    Raises:
        InputError: ``n_codebooks`` or ``codebook_size`` below 1, a negative ``offset``.
    """

    n_codebooks: int
    codebook_size: int
    offset: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        for name, least in (("n_codebooks", 1), ("codebook_size", 1), ("offset", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name} is {value!r}; wanted a whole number of at least {least}")

    @property
    def pad(self) -> int:
        """Stands where a pattern has no code."""
        return self.offset + self.codebook_size * (1 if self.shared else self.n_codebooks)

    @property
    def bos(self) -> int:
        """Begins a sequence, where it is asked for."""
        return self.pad + 1

    @property
    def eos(self) -> int:
        """Ends a sequence, where it is asked for."""
        return self.pad + 2

    @property
    def size(self) -> int:
        """One more than the largest id: rows that a table of embeddings needs."""
        return self.pad + 3

    def first(self, level: int) -> int:
        """The id of code 0 of a level."""
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

    def codes(self, ids: Ids, position: int = 0) -> Codes:
        """The inverse of `ids`; ``position`` is the index of the first column, for the error.

        Raises:
            InputError: an id that is none of its level's.
        """
        codes: Codes = ids - self._firsts
        wrong = (codes < 0) | (codes >= self.codebook_size)
        if wrong.any():
            level, column = (int(i) for i in np.argwhere(wrong)[0])
            raise self.wrong(int(ids[level, column]), level, f"frame {position + column}")
        return codes

    @property
    def _firsts(self) -> Ids:
        return np.array([[self.first(level)] for level in range(self.n_codebooks)], np.int64)

    def wrong(self, token: int, level: int, where: str) -> InputError:
        """The error for a token that stands where one of ``level`` should."""
        first = self.first(level)
        return InputError(
            f"token {self.name(token)} at {where}, codebook {level}; "
            f"wanted {first} to {first + self.codebook_size - 1}: the sequence is not of this pattern and vocabulary"
        )

    def name(self, token: int) -> str:
        """A token in words."""
        special = {self.pad: " (pad)", self.bos: " (bos)", self.eos: " (eos)"}
        return f"{token}{special.get(token, '')}"
