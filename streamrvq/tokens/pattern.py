"""Patterns: the order in which a language model is given the codes of a signal, and the way back.

This file holds what all patterns share. There is one path: `Pattern.interleave` is a new encoder's push and flush, and
`Pattern.deinterleave` is a new decoder's. So a model's training data cannot differ from its live input.

An exception from a signal handler, such as KeyboardInterrupt, may come between any two bytecodes. So a call works on a
draft of its object, and takes over the draft's attributes with one store as its last act.

Knows: begin and end tokens, what may be pushed when, that a push which raises changes nothing. Does not know: any one
order.
"""

from __future__ import annotations

import abc
from typing import Any, Self

import numpy as np

from ..audio.pcm import as_array
from ..engine.base import Codes
from ..errors import InputError, StreamClosedError
from ..system.copying import CopiedWhole
from .vocabulary import Ids, Vocabulary, check_flag


class Pattern(abc.ABC):
    """An order of codes. Immutable: any number of its encoders and decoders may work at the same time.

    Args:
        vocabulary: maps codes to ids.
        bos: begin with the token `Vocabulary.bos`, in a sequence of K rows with a column of them.
        eos: end with the token `Vocabulary.eos`, likewise.

    Raises:
        InputError: a vocabulary that is none; or ``bos`` or ``eos`` is not True or False.
    """

    #: True if a sequence is ``[K, N]``, K tokens at each step; False if it is ``[N]``.
    in_rows: bool

    def __init__(self, vocabulary: Vocabulary, bos: bool = False, eos: bool = False) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise InputError(f"vocabulary is a {type(vocabulary).__name__}; wanted a Vocabulary")
        check_flag("bos", bos)
        check_flag("eos", eos)
        self.vocabulary, self.bos, self.eos = vocabulary, bos, eos

    def __repr__(self) -> str:
        words, marks = self.vocabulary, f"{', bos' * self.bos}{', eos' * self.eos}"
        books = f"{words.n_codebooks} codebooks of {words.codebook_size}"
        return f"<{type(self).__name__}: {books}, ids from {words.offset}{marks}>"

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


class _Drafted(CopiedWhole):
    """An object whose calls change all of it or nothing.

    A draft shares its object's lists and arrays. It may only write behind what the object's own counts say is there.
    """

    def _draft(self) -> Self:
        draft = object.__new__(type(self))
        draft.__dict__.update(self.__dict__)
        return draft

    def _accept(self, draft: Self) -> None:
        """Become what the draft is. The caller returns then, and calls nothing more."""
        self.__dict__ = draft.__dict__


class PatternEncoder(_Drafted, abc.ABC):
    """Frames in, tokens out. Made by `Pattern.encoder`. All pushes and the flush together give the sequence.

    If anything comes out of a call, such as KeyboardInterrupt, nothing has changed: call it again.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern, self._begun, self._closed = pattern, False, False

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} of {self._pattern}{', closed' * self._closed}>"

    def push(self, codes: Any) -> Ids:
        """Take the next frames, ``[K, n]``, n ≥ 0, and return the tokens that they allow, ``[N]`` or ``[K, N]``.

        Raises:
            InputError: codes of another shape, type or range; nothing has changed.
            StreamClosedError: after `flush`.
        """
        self._open("push")
        draft = self._draft()
        tokens = draft._after_bos(draft._push(self._pattern.vocabulary.ids(codes)))
        self._accept(draft)
        return tokens

    def flush(self) -> Ids:
        """End the signal and return the remaining tokens.

        Raises:
            StreamClosedError: the encoder was flushed before.
        """
        self._open("flush")
        draft = self._draft()
        rest, end = (
            draft._after_bos(draft._end()),
            self._pattern._ids(int(self._pattern.eos), self._pattern.vocabulary.eos),
        )
        tokens = np.concatenate([rest, end], axis=-1)
        draft._closed = True
        self._accept(draft)
        return tokens

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
        """Ids ``[K, n]`` to tokens. Called on a draft, as all below."""

    @abc.abstractmethod
    def _end(self) -> Ids:
        """The remaining tokens."""


class PatternDecoder(_Drafted, abc.ABC):
    """Tokens in, frames out as they become complete. Made by `Pattern.decoder`.

    If anything comes out of a call, such as KeyboardInterrupt, nothing has changed: call it again.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern, self._begun, self._closed, self._ended = pattern, False, False, False

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lstrip('_')} of {self._pattern}{', closed' * self._closed}>"

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
        draft = self._draft()
        codes = draft._take(body, last=ended and not self._ended)
        draft._begun, draft._ended = begun, ended
        self._accept(draft)
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
        draft = self._draft()
        if not self._ended:
            draft._take(self._pattern._ids(0, 0), last=True)
        draft._closed = True
        self._accept(draft)

    def _checked(self, ids: Any) -> Ids:
        array, levels = as_array(ids, "tokens"), self._pattern.vocabulary.n_codebooks
        fits = array.ndim == 2 and array.shape[0] == levels if self._pattern.in_rows else array.ndim == 1
        if array.size == 0 and fits:
            return self._pattern._ids(0, 0)
        wanted = f"[{levels}, steps]" if self._pattern.in_rows else "[tokens]"
        if not fits:
            raise InputError(f"tokens are {array.dtype} {list(array.shape)}; wanted integers {wanted}")
        return self._pattern.vocabulary.as_ids(array, wanted)

    @abc.abstractmethod
    def _take(self, ids: Ids, last: bool) -> Codes:
        """The frames that are complete now; ``last``: no more ids come. An `InputError` leaves everything unchanged."""
