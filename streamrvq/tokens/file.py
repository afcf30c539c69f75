"""Token files: the codes of one signal, and what is needed to decode and trim them, in one `.safetensors` file.

Knows: the file's layout. The tensor ``codes`` is uint16 ``[K, T]``; everything else is text in the metadata. Does not
know: where codes come from, or whether the codec at hand made them (the caller compares ``codec_hash``).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from ..audio.find import audio_suffixes
from ..audio.pcm import as_array
from ..audio.rates import output_length
from ..engine.base import Codes
from ..errors import TokensError
from ..system.atomic_file import replacing
from ..system.foreign_data import foreign_data, is_whole, one_line
from ..system.regular_file import check_regular
from .journal_names import JOURNAL, left_of_a_recording
from .limits import MOST_CODE, MOST_GAPS, MOST_HEADER, MOST_LEVELS, MOST_RATE, MOST_SAMPLES, MOST_TEXT

#: What the metadata's ``format`` says.
FORMAT = "streamrvq.tokens"
#: The version of the layout that this file writes, and the newest that it reads.
VERSION = 1

_REMEDY = "encode the audio again"
_KINDS = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}  #: in safetensors, and elsewhere
_NUMBER = re.compile("-?[0-9]{1,19}")


@dataclasses.dataclass(frozen=True, eq=False)
class TokenFile:
    """What a token file holds.

    Attributes:
        codes: int64 ``[K, T]`` (uint16 on disk). Any array or tensor of integers on the CPU is taken.
        codec: the name that the codec was loaded under.
        codec_hash: the codec's `Codec.codec_hash`; decode with no other codec.
        trained: False if the codec's weights were seeded: the codes are exact but mean nothing.
        sample_rate: the codec's, Hz.
        hop_length: samples a frame at ``sample_rate``.
        source_rate: of the original signal, Hz.
        num_samples: of the original signal, at ``source_rate``.
        tail: ``"pad"`` or ``"valid"``, as encoded.
        start: where the signal began in a longer recording, in samples at ``source_rate``.
        gaps: ``(position, samples)`` of audio that was lost before it could be encoded, in samples at ``source_rate``
            from the signal's start. Zeros were encoded in its place.
        version: of the layout.
        resampler: what brought the signal from ``source_rate`` to ``sample_rate`` (`streamrvq.resampling`). None: the
            rates are equal, or the file does not say. Those from before resamplers had names do not, which were made
            with soxr.

    Raises:
        TokensError: a value that no encoding could have given.
        InputError: codes are no array on the CPU.
    """

    codes: Codes
    codec: str
    codec_hash: str
    trained: bool
    sample_rate: int
    hop_length: int
    source_rate: int
    num_samples: int
    tail: str = "pad"
    start: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    version: int = VERSION
    resampler: str | None = None

    def __post_init__(self) -> None:
        codes = as_array(self.codes, "codes")
        if codes.ndim != 2 or not 0 < codes.shape[0] <= MOST_LEVELS or codes.dtype.kind not in "iu":
            raise TokensError(
                f"codes are {codes.dtype} {list(codes.shape)}; wanted integers [K, T] with K at least 1 and at most "
                f"{MOST_LEVELS}"
            )
        if codes.size and not (codes.min() >= 0 and codes.max() <= MOST_CODE):
            raise TokensError(
                f"codes reach from {codes.min()} to {codes.max()}; a token file holds 0 to {MOST_CODE} (uint16)"
            )
        for name in ("sample_rate", "hop_length", "source_rate"):
            self._check(name, 1, MOST_RATE)
        for name in ("num_samples", "start"):
            self._check(name, 0, MOST_SAMPLES)
        if not isinstance(self.gaps, (tuple, list)):
            raise TokensError(f"gaps are {one_line(repr(self.gaps), 60)}; wanted pairs of positions and samples")
        if len(self.gaps) > MOST_GAPS:
            raise TokensError(f"there are {len(self.gaps)} gaps; wanted at most {MOST_GAPS}: make several signals")
        for gap in self.gaps:
            pair = isinstance(gap, (tuple, list)) and len(gap) == 2
            if not pair or not is_whole(gap[0], 0, MOST_SAMPLES) or not is_whole(gap[1], 1, MOST_SAMPLES):
                raise TokensError(f"gaps hold {one_line(gap, 60)}; wanted pairs of a position and at least 1 sample")
        if self.tail not in ("pad", "valid"):
            raise TokensError(f"tail is {one_line(repr(self.tail), 60)}; wanted 'pad' or 'valid'")
        if not isinstance(self.trained, bool):
            raise TokensError(f"trained is {one_line(repr(self.trained), 60)}; wanted True or False")
        for name in ("codec", "codec_hash", "resampler"):
            value = getattr(self, name)
            if not _is_text(value) and not (name == "resampler" and value is None):
                raise TokensError(
                    f"{name} is {one_line(ascii(value), 60)}; wanted text that is Unicode, of at most "
                    f"{MOST_TEXT} characters"
                )
        object.__setattr__(self, "codes", np.ascontiguousarray(codes, np.int64))  # as in the rest of the package

    def __repr__(self) -> str:
        levels, frames = self.codes.shape
        return (
            f"<TokenFile: {levels} codebooks, {frames} frames, {self.seconds:.2f} s at {self.source_rate} Hz, "
            f"{one_line(self.codec, 60)} ({one_line(self.codec_hash[:12])}){'' if self.trained else ', untrained'}>"
        )

    def _check(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not is_whole(value, least, most):
            wanted = f"a whole number of at least {least}" if least else "at least 0"
            raise TokensError(f"{name} is {one_line(value, 60)}; wanted {wanted} and at most {most}")
        object.__setattr__(self, name, int(value))  # numpy's would overflow

    @property
    def pcm_length(self) -> int:
        """Samples of the signal at ``sample_rate``. Decoded pcm is trimmed to this (``valid`` may give fewer)."""
        return output_length(self.num_samples, self.source_rate, self.sample_rate)

    @property
    def seconds(self) -> float:
        """Length of the original signal, in seconds."""
        return self.num_samples / self.source_rate


def _is_text(value: Any) -> bool:
    """Whether a file can hold it: text without half a surrogate pair, and no longer than a header may be."""
    try:
        return isinstance(value, str) and len(value) <= MOST_TEXT and value.encode() is not None
    except UnicodeEncodeError:
        return False


def write_tokens(path: str | os.PathLike[str], tokens: TokenFile) -> None:
    """Write a token file, whole or not at all. After a failure the old file is still there.

    Raises:
        TokensError: the file cannot be written.
    """
    path = Path(path)
    metadata = {"format": FORMAT}
    for field in dataclasses.fields(tokens):
        value = getattr(tokens, field.name)
        if field.name == "codes" or (field.name in ("start", "gaps", "resampler") and not value):
            continue
        metadata[field.name] = str(value) if isinstance(value, str) else json.dumps(value, default=int)
    data = safetensors.numpy.save({"codes": tokens.codes.astype("<u2")}, metadata)
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        reason = error.strerror or error
        raise TokensError(f"cannot write tokens to {path} ({reason}); give a folder that may be written to") from None


def read_tokens(path: str | os.PathLike[str]) -> TokenFile:
    """Read a token file.

    Raises:
        TokensError: no such file, or one that is damaged, of another program, or of a newer version.
    """
    return read_part(path, 0, None)[0]


def read_part(
    path: str | os.PathLike[str], first: int, stop: int | None, levels: int | None = None
) -> tuple[TokenFile, tuple[int, int]]:
    """Read some frames of a token file, and its metadata.

    Args:
        first, stop: the frames, as in a slice; None: to the end.
        levels: how many levels to read, from the first; None: all.

    Returns:
        The token file with only those codes, and the shape ``(K, T)`` of all its codes.

    Raises:
        TokensError: as `read_tokens`.
    """
    with foreign_data(TokensError, f"{path}", _REMEDY):
        metadata, codes, shape = _read(path, first, stop, levels)
        try:
            values = _values(metadata)
        except (KeyError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise TokensError(
                f"{path} has a missing or damaged entry ({one_line(error, 80)}); encode the audio again"
            ) from None
        try:
            tokens = TokenFile(codes=codes, **values)
        except TokensError as error:
            raise TokensError(f"{path}: {error}") from None
        return tokens, (shape[0], shape[1])


def _read(
    path: str | os.PathLike[str], first: int, stop: int | None, levels: int | None
) -> tuple[dict[str, str], npt.NDArray[Any], tuple[int, ...]]:
    """The metadata, the codes that were asked for, and the shape of all codes."""
    try:
        check_regular(path)
        _check_header(path)
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or list(file.keys()) != ["codes"]:
                raise TokensError(
                    f"{path} is a safetensors file but holds no tokens; wanted one that 'streamrvq encode' wrote"
                )
            if metadata.get("version") != str(VERSION):
                raise TokensError(
                    f"{path} is a token file of version {one_line(repr(metadata.get('version')), 60)}; "
                    f"this streamrvq reads {VERSION}: update it, or encode again"
                )
            whole = file.get_slice("codes")
            shape = tuple(whole.get_shape())
            if len(shape) != 2 or not 0 < shape[0] <= MOST_LEVELS:
                raise TokensError(
                    f"{path} holds codes {one_line(list(shape), 60)}; wanted [K, T] with K from 1 to {MOST_LEVELS}: "
                    "encode the audio again"
                )
            if (kind := whole.get_dtype()) != "U16":
                letters = kind.rstrip("0123456789")
                named = _KINDS.get(letters, letters) + kind.removeprefix(letters)
                raise TokensError(f"{path} holds codes as {named}; wanted uint16: {_REMEDY}")
            parts = slice(levels), slice(first, stop)
            size = [len(range(*part.indices(count))) for part, count in zip(parts, shape, strict=True)]
            # safetensors cannot read an empty slice. Where memory is short, it prints more than it raises.
            codes: npt.NDArray[Any] = np.empty(size, np.uint16)
            if codes.size:
                codes = whole[parts]
    except OSError as error:
        reason = "it is a folder" if os.path.isdir(path) else error.strerror or "no such file"
        if not os.path.lexists(path) and (journal := left_of_a_recording(path)):
            raise TokensError(f"cannot read tokens from {path} ({reason}): {journal}") from None
        raise TokensError(
            f"cannot read tokens from {path} ({reason}); give a .safetensors file that 'streamrvq encode' wrote"
        ) from None
    except safetensors.SafetensorError as error:
        if os.fspath(path).endswith(JOURNAL):
            raise TokensError(f"{path} is no token file yet: {left_of_a_recording(path)}") from None
        if Path(path).suffix.lower() in audio_suffixes():
            raise TokensError(f"{path} is an audio file, and no tokens; encode it first (streamrvq encode)") from None
        raise TokensError(
            f"{path} is no token file, or a damaged one ({one_line(error)}); encode the audio again"
        ) from None
    return metadata, codes, shape


def _check_header(path: str | os.PathLike[str]) -> None:
    """Refuse a header that no token file has. safetensors takes 100 MB of it, and each gap takes many times its text.

    Raises:
        TokensError: so it is.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if MOST_HEADER < length <= os.fstat(file.fileno()).st_size:
            raise TokensError(f"{path} has a header of {length} bytes; wanted at most {MOST_HEADER}: {_REMEDY}")


def _gaps(text: str) -> tuple[tuple[int, int], ...]:
    if (count := text.count("[") + text.count("{")) > MOST_GAPS + 1:  # each takes fifty times its two characters
        raise ValueError(f"{count - 1} gaps, of which there are at most {MOST_GAPS}")
    return tuple((position, samples) for position, samples in json.loads(text))


def _values(metadata: dict[str, str]) -> dict[str, Any]:
    """What the metadata says, as `TokenFile` takes it. Raises `ValueError`, `KeyError` and their like."""
    values: dict[str, Any] = {name: metadata[name] for name in ("codec", "codec_hash", "tail")}
    for name in ("sample_rate", "hop_length", "source_rate", "num_samples"):
        values[name] = _number(metadata[name])
    values["start"] = _number(metadata.get("start", "0"))
    values["trained"] = {"true": True, "false": False}[metadata["trained"]]
    values["gaps"] = _gaps(metadata.get("gaps", "[]"))
    values["resampler"] = metadata.get("resampler")
    return values


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{one_line(repr(text), 60)} is no number that fits")
    return int(text)
