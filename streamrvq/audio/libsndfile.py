"""Decoding with libsndfile: plain WAV and AIFF, and formats that FFmpeg does not know.

Knows: soundfile. Does not know: what was promised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from ..system import unraised
from ..system.foreign_data import one_line
from .byte_source import ByteSource
from .decoding import STEP, WIDTHS, DecodingError, NotRecognisedError

#: Subtypes that are read with it in WAV and AIFF.
_PLAIN = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
# soundfile's own errors, and what its code did not expect. Not all exceptions: a signal's handler raises others.
_DAMAGE = (soundfile.SoundFileError, ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError)


class SoundFileDecoder:
    """A `Decoder`. Raises `NotRecognisedError` for what libsndfile does not read.

    Attributes:
        plain: whether it holds uncompressed numbers.
    """

    exact = False  # what it counts is what there is

    def __init__(self, source: ByteSource) -> None:
        source.rewind()
        self._source = source
        unraised.watch()
        try:
            # By its descriptor: libsndfile then reads by itself, and judges nothing by the name.
            file: Any = source.file.fileno() if source.owned else source.file
            self._file = soundfile.SoundFile(file, closefd=not source.owned)
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
            self._check()
            reason = one_line(getattr(error, "error_string", None) or error)
            raise NotRecognisedError(reason.rstrip(".")) from None
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int = self._file.frames
        self.width = WIDTHS.get(self._file.subtype, 0)
        self.plain = self._file.subtype in _PLAIN

    def _check(self) -> None:
        """Raise what came while libsndfile read: it sees the end of the file there."""
        unraised.check()
        self._source.check()

    def read(self) -> npt.NDArray[np.float32]:
        unraised.watch()
        try:
            block: npt.NDArray[np.float32] = self._file.read(STEP, dtype="float32", always_2d=True)
        except _DAMAGE:  # the message is about libsndfile
            self._check()
            raise DecodingError("it cannot be decoded there") from None
        self._check()
        return block

    def close(self) -> None:
        self._file.close()
