"""Safetensors files as numpy arrays and text: reading any of them, and writing one, whole or not at all.

Knows: the safetensors format, bfloat16. Does not know: what the tensors belong to. It never imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.numpy import save_file

from ..errors import StreamRVQError, WeightsError
from ..system.atomic_file import replacing
from ..system.foreign_data import foreign_data, one_line, shown
from ..system.regular_file import check_regular, read_at_most

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
#: Bytes of a header, which becomes twenty times as many in memory; that of a DAC has 100 KB.
_MOST_HEADER = 4 << 20
#: Of a tensor; weights have three.
_MOST_DIMENSIONS = 16
_REMEDY = "wanted a whole one: fetch or save it again"
_MOST_NAME = 200  #: characters of the name that a file gives itself


def unreadable(path: Path, error: OSError) -> WeightsError:
    """The error for a file that cannot be read."""
    reason = error.strerror or str(error)
    return WeightsError(f"cannot read {path}: {reason}; wanted a weights file: check the path")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The file's bytes. Raises `WeightsError` if it cannot be read, or has more than ``most``."""
    try:
        if most is None:
            check_regular(path)
            return path.read_bytes()
        data = read_at_most(path, most)
    except OSError as error:
        raise unreadable(path, error) from None
    if data is None:
        raise WeightsError(f"{path} has more than {most} bytes; wanted at most {most}: fetch or save it again")
    return data


def printable_name(name: object, default: str) -> str:
    """The name that a file gives itself, in one printable line; ``default`` if that is no text."""
    name = name if isinstance(name, str) else default
    return name if name.isprintable() and len(name) <= _MOST_NAME else one_line(name, _MOST_NAME)


def read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """``(tensors, metadata)`` of a safetensors file. bfloat16 is widened to float32, exactly.

    Tensors of other types are parts of the file's bytes, which are read once; so they cannot be written to.

    Raises:
        WeightsError: the file cannot be read, is truncated or not a safetensors file, or holds an unknown type.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            wrong = not 1 < length <= _MOST_HEADER or 8 + length > os.fstat(file.fileno()).st_size
    except OSError as error:
        raise unreadable(path, error) from None
    if wrong:  # however long the rest is, it is not read
        raise WeightsError(
            f"{path} is damaged or not a safetensors file (a header of {length} bytes, wanted at most {_MOST_HEADER}); "
            f"{_REMEDY}"
        )
    with foreign_data(WeightsError, str(path), _REMEDY):
        try:
            with safetensors.safe_open(path, "numpy"):  # it looks at the header alone, and copies nothing
                pass
        except safetensors.SafetensorError as error:
            raise _damaged(WeightsError, str(path), error, _REMEDY) from None
        except OSError as error:
            raise unreadable(path, error) from None
        return _arrays(read_bytes(path), WeightsError, str(path), _REMEDY)


def tensors_of(
    data: bytes, kind: type[StreamRVQError], what: str, remedy: str
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """``(tensors, metadata)`` of a safetensors file's bytes, whose number bounds what is allocated.

    Args:
        data: the whole file.
        kind: the error to raise: one that takes a message.
        what: names the data in it.
        remedy: the end of it.

    Raises:
        StreamRVQError: ``kind``: the bytes are no safetensors file, or hold an unknown type or an impossible shape.
    """
    with foreign_data(kind, what, remedy):
        length = int.from_bytes(data[:8], "little")
        if _MOST_HEADER < length <= len(data):
            raise kind(f"{what} has a header of {length} bytes; wanted at most {_MOST_HEADER}: save it again")
        try:
            safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        except (safetensors.SafetensorError, ValueError, RecursionError) as error:
            raise _damaged(kind, what, error, remedy) from None
        return _arrays(data, kind, what, remedy)


def _damaged(kind: type[StreamRVQError], what: str, error: Exception, remedy: str) -> StreamRVQError:
    reason = one_line((str(error) or type(error).__name__).partition("\n")[0])
    return kind(f"{what} is damaged or not a safetensors file ({reason}); {remedy}")


def _arrays(
    data: bytes, kind: type[StreamRVQError], what: str, remedy: str
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """``(tensors, metadata)`` of bytes whose header is good. The tensors are parts of ``data``: nothing is copied."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
    except (ValueError, RecursionError) as error:
        raise _damaged(kind, what, error, remedy) from None
    metadata, values, tensors = header.pop("__metadata__", None) or {}, memoryview(data)[start:], {}
    for name, entry in header.items():
        try:
            tensors[name] = _array(entry, values, len(data))
        except ValueError as error:
            raise kind(f"{one_line(name)} in {what} {error}") from None
    return tensors, metadata


def _array(entry: dict[str, Any], values: memoryview, size: int) -> npt.NDArray[Any]:
    """A tensor of a file of ``size`` bytes. Raises ValueError with the end of a sentence about it."""
    kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind != "BF16" and kind not in _TYPES:
        raise ValueError(f"is {one_line(kind)}; wanted a float type of at most 64 bits: convert it")
    # A tensor without elements may have any other dimension; numpy has limits of its own.
    if len(shape) > _MOST_DIMENSIONS or max(shape, default=0) > size:
        raise ValueError(
            f"has shape {shown(list(shape))} in a file of {size} bytes; wanted at most {_MOST_DIMENSIONS} dimensions, "
            "none larger than the file: it is damaged, fetch or save it again"
        )
    if kind == "BF16":  # the upper half of a float32
        wide = np.frombuffer(values[first:last], "<u2").astype("<u4") << np.uint32(16)
        return wide.view("<f4").reshape(shape)
    return np.frombuffer(values[first:last], _TYPES[kind]).reshape(shape)


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Raises as `replace`."""
    replace(path, lambda part: save_file(dict(tensors), part, metadata))


def replace(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` make a file beside ``path`` and then rename it. So ``path`` is never a partial file.

    Raises:
        WeightsError: the file cannot be written.
    """
    try:
        with replacing(path) as part:
            write(part.name)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"cannot write {path}: {one_line(error)}; wanted a writable place: check it and its space"
        ) from None
