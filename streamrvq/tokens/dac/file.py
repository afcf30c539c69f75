"""``.dac`` files of the package descript-audio-codec: the codes of one signal, and how they were made.

Such a file is a numpy file of a dict with ``codes``, uint16 ``[channels, K, T]``, and ``metadata``. It does not say
which weights made the codes. Long signals are encoded in chunks that overlap, each from its own samples alone, without
padding (``padding`` is False); short ones whole.

Knows: this layout, which it reads without pickle. Does not know: codecs.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...audio.pcm import as_array
from ...errors import TokensError
from ...system.atomic_file import replacing
from ...system.foreign_data import foreign_data, is_whole, one_line, shown
from ...system.regular_file import read_at_most
from ..limits import MOST_CODE, MOST_LEVELS, MOST_RATE, MOST_SAMPLES
from .plain_pickle import object_in

#: The versions of the layout that descript's package reads; the last one is written.
VERSIONS = ("1.0.0",)
_REMEDY = "wanted what descript's package wrote: encode the audio again"
#: Bytes of a file: a day of audio has 140 million.
_MOST = 1 << 32
#: No signal has a loudness beyond this, in LUFS, in either direction. Silence has −70, samples up to ±128 some 45.
_LOUDEST = 200


@dataclasses.dataclass(frozen=True, eq=False)
class DacFile:
    """What a ``.dac`` file holds.

    Attributes:
        codes: int64 ``[channels, K, T]``. Any array or tensor of integers on the CPU is taken.
        chunk_length: frames that are decoded at a time.
        original_length: samples of a channel, at ``sample_rate``.
        input_db: loudness of the signal, LUFS; decoded audio gets it.
        sample_rate: of the original signal, Hz.
        padding: whether the layers pad, as everywhere in this package. False: codes are in chunks.

    Raises:
        TokensError: a value that no encoding could have given.
        InputError: codes are no array on the CPU.
    """

    codes: npt.NDArray[np.int64]
    chunk_length: int
    original_length: int
    input_db: float
    sample_rate: int
    padding: bool = True

    def __post_init__(self) -> None:
        codes = as_array(self.codes, "codes")
        if (
            codes.ndim != 3
            or codes.dtype.kind not in "iu"
            or not codes.shape[0]
            or not 0 < codes.shape[1] <= MOST_LEVELS
        ):
            raise TokensError(f"codes are {codes.dtype} {list(codes.shape)}; wanted integers [channels, K, T]")
        if codes.size and not 0 <= codes.min() <= codes.max() <= MOST_CODE:
            raise TokensError(f"codes reach from {codes.min()} to {codes.max()}; wanted 0 to {MOST_CODE}")
        for name, most in (
            ("chunk_length", MOST_SAMPLES),
            ("sample_rate", MOST_RATE),
            ("original_length", MOST_SAMPLES),
        ):
            value, least = getattr(self, name), 0 if name == "original_length" else 1
            if not is_whole(value, least, most):
                raise TokensError(f"{name} is {shown(value, 40)}; wanted a whole number from {least} to {most}")
            object.__setattr__(self, name, int(value))
        real = isinstance(self.input_db, (int, float, np.integer, np.floating))
        if not isinstance(self.padding, bool) or not real or not abs(self.input_db) <= _LOUDEST:
            raise TokensError(
                f"padding is {shown(self.padding, 40)} and input_db {shown(self.input_db, 40)}; wanted True or False, "
                f"and LUFS from {-_LOUDEST} to {_LOUDEST}"
            )
        object.__setattr__(self, "input_db", float(self.input_db))
        object.__setattr__(self, "codes", np.ascontiguousarray(codes, np.int64))

    def __repr__(self) -> str:
        channels, levels, frames = self.codes.shape
        how = "whole" if self.padding else f"in chunks of {self.chunk_length}"
        return (
            f"<DacFile: {channels} channels, {levels} codebooks, {frames} frames {how}, {self.original_length} samples "
            f"at {self.sample_rate} Hz, {self.input_db:.1f} LUFS>"
        )


def read_dac(path: str | os.PathLike[str]) -> DacFile:
    """Read a ``.dac`` file. No code in it is run, and nothing but numbers, text and arrays of numbers is made.

    Raises:
        TokensError: no such file, or one that is damaged, of another version, or holds something else.
    """
    with foreign_data(TokensError, f"{path}", _REMEDY):
        try:
            data = read_at_most(Path(path), _MOST)
        except OSError as error:
            raise TokensError(f"cannot read {path} ({error.strerror or error}); give a .dac file") from None
        if data is None:
            raise TokensError(f"{path} has more than {_MOST} bytes; {_REMEDY}")
        try:
            content = object_in(data)
            codes, metadata = content["codes"], content["metadata"]
            channels, version = metadata["channels"], metadata["dac_version"]
            loudness = np.asarray(metadata["input_db"], np.float64).ravel()
            values = {name: metadata[name] for name in ("chunk_length", "original_length", "sample_rate", "padding")}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TokensError(f"{path} is no .dac file ({one_line(error, 80)}); {_REMEDY}") from None
        if version not in VERSIONS:
            raise TokensError(
                f"{path} is a .dac file of version {shown(version, 40)}; this reads {', '.join(VERSIONS)}"
            )
        if len(loudness) != 1 or not isinstance(codes, np.ndarray) or codes.ndim != 3 or codes.shape[0] != channels:
            raise TokensError(
                f"{path} holds {shown(channels, 20)} channels and other codes, or several signals; {_REMEDY}"
            )
        try:
            return DacFile(codes=codes, input_db=float(loudness[0]), **values)
        except TokensError as error:
            raise TokensError(f"{path}: {error}") from None


def write_dac(path: str | os.PathLike[str], file: DacFile) -> None:
    """Write a ``.dac`` file, whole or not at all.

    Raises:
        TokensError: the file cannot be written.
    """
    metadata: dict[str, Any] = {
        "input_db": np.array([file.input_db], np.float32), "original_length": file.original_length,
        "sample_rate": file.sample_rate, "chunk_length": file.chunk_length, "channels": file.codes.shape[0],
        "padding": file.padding, "dac_version": VERSIONS[-1],
    }  # fmt: skip
    content: Any = {"codes": file.codes.astype(np.uint16), "metadata": metadata}
    try:
        with replacing(Path(path)) as output:
            np.save(output, content)
    except OSError as error:
        raise TokensError(
            f"cannot write {path} ({error.strerror or error}); give a folder that may be written to"
        ) from None
