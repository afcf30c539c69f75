"""Patterns: the order in which a language model is given the codes of a signal, and the way back.

This file holds what all patterns share. There is one path: `Pattern.interleave` is a new encoder's push and flush, and
`Pattern.deinterleave` is a new decoder's. So a model's training data cannot differ from its live input.

Knows: begin and end tokens, what may be pushed when, that a refused push changes nothing. Does not know: any one order.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from ..audio.pcm import as_array
from ..engine.base import Codes
from ..errors import InputError, StreamClosedError
from ..system.copying import CopiedWhole
from .limits import MOST_ID
from .vocabulary import Ids, Vocabulary


class Pattern(abc.ABC):
    """An order of codes. Immutable: any number of its encoders and decoders may work at the same time.

    Args:
        vocabulary: maps codes to ids.
        bos: begin with the token `Vocabulary.bos`, in a sequence of K rows with a column of them.
        eos: end with the token `Vocabulary.eos`, likewise.
    """

    #: True if a sequence is ``[K, N]``, K tokens at each step; False if it is ``[N]``.
    in_rows: bool

    def __init__(self, vocabulary: Vocabulary, bos: bool = False, eos: bool = False) -> None:
        self.vocabulary, self.bos, self.eos = vocabulary, bos, eos

    def interleave(self, codes: Any) -> Ids:
        """The sequence of codes ``[K, T]``: ids, int64 ``[N]`` or ``[K, N]``.

        Raises:
            InputError: codes of another shape, type or range.
        """
        encoder = self.encoder()
        return np.concatenate([encoder.push(codes), encoder.flush()], axis=-1)

    def deinterleave(self, ids: Any) -> Codes:
        """The inverse: codes, int64 ``[K, T]``.

        Raises:
            InputError: the ids are not one whole sequence of this pattern.
        """
        decoder = self.decoder()
        codes = decoder.push(ids)
        decoder.flush()
        return codes

    @abc.abstractmethod
    def encoder(self) -> PatternEncoder:
        """A new encoder, which turns frames into tokens as they come."""

    @abc.abstractmethod
    def decoder(self) -> PatternDecoder:
        """A new decoder, which turns tokens into frames as they come."""

    def _ids(self, columns: int, token: int) -> Ids:
        """One token, repeated for ``columns`` steps."""
        return np.full((self.vocabulary.n_codebooks, columns) if self.in_rows else columns, token, np.int64)


class PatternEncoder(CopiedWhole, abc.ABC):
    """Frames in, tokens out. Made by `Pattern.encoder`. All pushes and the flush together give the sequence."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern, self._begun, self._closed = pattern, False, False

    def push(self, codes: Any) -> Ids:
        """Take the next frames, ``[K, n]``, n ≥ 0, and return the tokens that they allow, ``[N]`` or ``[K, N]``.

        Raises:
            InputError: codes of another shape, type or range; nothing has changed.
            StreamClosedError: after `flush`.
        """
        self._open("push")
        return self._after_bos(self._push(self._pattern.vocabulary.ids(codes)))

    def flush(self) -> Ids:
        """End the signal and return the remaining tokens.

        Raises:
            StreamClosedError: the encoder was flushed before.
        """
        self._open("flush")
        rest = self._after_bos(self._end())
        self._closed = True
        return np.concatenate([rest, self._pattern._ids(int(self._pattern.eos), self._pattern.vocabulary.eos)], axis=-1)

    def _open(self, doing: str) -> None:
        if self._closed:
            raise StreamClosedError(f"{doing} on an encoder that was flushed; take a new one with pattern.encoder()")

    def _after_bos(self, ids: Ids) -> Ids:
        if self._begun or not self._pattern.bos:
            return ids
        self._begun = True
        return np.concatenate([self._pattern._ids(1, self._pattern.vocabulary.bos), ids], axis=-1)

    @abc.abstractmethod
    def _push(self, ids: Ids) -> Ids:
        """Ids ``[K, n]`` to tokens."""

    @abc.abstractmethod
    def _end(self) -> Ids:
        """The remaining tokens."""


class PatternDecoder(CopiedWhole, abc.ABC):
    """Tokens in, frames out as they become complete. Made by `Pattern.decoder`."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern, self._begun, self._closed, self._ended = pattern, False, False, False

    @property
    def ended(self) -> bool:
        """Whether `Vocabulary.eos` has come."""
        return self._ended

    def push(self, ids: Any) -> Codes:
        """Take the next tokens, ``[n]`` or ``[K, n]``, n ≥ 0, and return the frames that they complete, ``[K, m]``.

        Raises:
            InputError: tokens of another shape or type, or in a place where they cannot stand; nothing has changed.
            StreamClosedError: tokens after the end.
        """
        if self._closed:
            raise StreamClosedError("push on a decoder that was flushed; take a new one with pattern.decoder()")
        body = self._checked(ids)
        if self._ended and body.shape[-1]:
            raise StreamClosedError("tokens came after eos; take a new decoder for a new sequence")
        begun = self._begun or not self._pattern.bos
        if not begun and body.shape[-1]:
            first = body[..., 0]
            if (first != self._pattern.vocabulary.bos).any():
                raise InputError(
                    f"the sequence begins with {first.tolist()}; wanted bos, {self._pattern.vocabulary.bos}"
                )
            body, begun = body[..., 1:], True
        ended = self._ended
        if self._pattern.eos and not ended:
            marks = np.atleast_2d(body) == self._pattern.vocabulary.eos
            at = np.flatnonzero(marks.all(axis=0))
            if len(at):
                if at[0] + 1 < body.shape[-1]:
                    raise InputError(f"{body.shape[-1] - at[0] - 1} tokens came after eos; wanted none")
                body, ended = body[..., :-1], True
        codes = self._take(body, last=ended and not self._ended)
        self._begun, self._ended = begun, ended
        return codes

    def flush(self) -> None:
        """End the sequence. It returns nothing, but it refuses an incomplete sequence.

        Raises:
            InputError: the sequence is incomplete; more may be pushed.
            StreamClosedError: the decoder was flushed before.
        """
        if self._closed:
            raise StreamClosedError("flush on a decoder that was flushed; take a new one with pattern.decoder()")
        if self._pattern.eos and not self._ended:
            raise InputError("the sequence ends without eos; it breaks off, or was made without: wanted all of it")
        if self._pattern.bos and not self._begun:
            raise InputError("the sequence has no bos; it was made without, or nothing came: wanted all of it")
        if not self._ended:
            self._take(self._pattern._ids(0, 0), last=True)
        self._closed = True

    def _checked(self, ids: Any) -> Ids:
        array, levels = as_array(ids, "tokens"), self._pattern.vocabulary.n_codebooks
        fits = array.ndim == 2 and array.shape[0] == levels if self._pattern.in_rows else array.ndim == 1
        if array.size == 0 and fits:
            return self._pattern._ids(0, 0)
        if not fits or array.dtype.kind not in "iu":
            wanted = f"[{levels}, steps]" if self._pattern.in_rows else "[tokens]"
            raise InputError(f"tokens are {array.dtype} {list(array.shape)}; wanted integers {wanted}")
        if array.dtype == np.uint64 and array.max() > MOST_ID:
            raise InputError(
                f"token {array.max()}; wanted ids of the vocabulary, 0 to {self._pattern.vocabulary.size - 1}"
            )
        return array.astype(np.int64)

    @abc.abstractmethod
    def _take(self, ids: Ids, last: bool) -> Codes:
        """The frames that are complete now; ``last``: no more ids come. An `InputError` leaves everything unchanged."""
