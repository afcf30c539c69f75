"""Safetensors files as numpy arrays and text: reading any of them, and writing one, whole or not at all.

Knows: the safetensors format, bfloat16. Does not know: what the tensors belong to. It never imports torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


def read_tensors(
    path: Path, most: Callable[[dict[str, npt.NDArray[Any]], dict[str, str]], int]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """``(tensors, metadata)`` of a safetensors file. bfloat16 is widened to float32, exactly.

    Tensors of other types are parts of the file's bytes, which are read once; so they cannot be written to.

    Args:
        path: the file.
        most: asked before any tensor is read, with arrays that have each tensor's shape and type, and its metadata.
            Gives how many bytes of tensors the file may have, or raises what is to be said of such a file.

    Raises:
        WeightsError: the file cannot be read, is truncated, too large or not a safetensors file, or holds an unknown
            type.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            length, size = int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size
            wrong = not 1 < length <= _MOST_HEADER or 8 + length > size
            header = b"" if wrong else file.read(length)
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
        outlines, metadata = _entries(header, lambda entry: _outline(entry, size), WeightsError, str(path), _REMEDY)
        came, allowed = size - 8 - length, most(outlines, metadata)
        if came > allowed:
            raise WeightsError(
                f"{path} has {came} bytes of tensors; wanted at most {allowed}, for weights of its configuration: "
                "check that file and configuration are of one codec"
            )
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
    values = memoryview(data)[start:]
    return _entries(data[8:start], lambda entry: _array(entry, values, len(data)), kind, what, remedy)


def _entries(
    header: bytes, made: Callable[[Any], npt.NDArray[Any]], kind: type[StreamRVQError], what: str, remedy: str
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """What is ``made`` of each tensor's entry in a header, and the metadata."""
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _damaged(kind, what, error, remedy) from None
    metadata, tensors = entries.pop("__metadata__", None) or {}, {}
    for name, entry in entries.items():
        try:
            tensors[name] = made(entry)
        except ValueError as error:
            raise kind(f"{one_line(name)} in {what} {error}") from None
    return tensors, metadata


def _array(entry: dict[str, Any], values: memoryview, size: int) -> npt.NDArray[Any]:
    """A tensor of a file of ``size`` bytes. Raises as `_checked`."""
    (kind, shape), (first, last) = _checked(entry, size), entry["data_offsets"]
    if kind == "BF16":  # the upper half of a float32
        wide = np.frombuffer(values[first:last], "<u2").astype("<u4") << np.uint32(16)
        return wide.view("<f4").reshape(shape)
    return np.frombuffer(values[first:last], _TYPES[kind]).reshape(shape)


def _outline(entry: dict[str, Any], size: int) -> npt.NDArray[Any]:
    """What has the shape and type of `_array`, and takes no room: one zero, again and again. Raises as `_checked`."""
    kind, shape = _checked(entry, size)
    return np.broadcast_to(np.zeros((), _TYPES.get(kind, "<f4")), shape)


def _checked(entry: dict[str, Any], size: int) -> tuple[str, list[int]]:
    """Type and shape of a tensor of a file of ``size`` bytes. Raises ValueError with the end of a sentence about it."""
    kind, shape = entry["dtype"], entry["shape"]
    if kind != "BF16" and kind not in _TYPES:
        raise ValueError(f"is {one_line(kind)}; wanted a float type of at most 64 bits: convert it")
    # A tensor without elements may have any other dimension; numpy has limits of its own.
    if len(shape) > _MOST_DIMENSIONS or max(shape, default=0) > size:
        raise ValueError(
            f"has shape {shown(list(shape))} in a file of {size} bytes; wanted at most {_MOST_DIMENSIONS} dimensions, "
            "none larger than the file: it is damaged, fetch or save it again"
        )
    return kind, shape


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Raises as `replace`."""
    replace(path, lambda part: save_file(dict(tensors), part, metadata))


def replace(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` make a file beside ``path`` and then rename it. So ``path`` is never a partial file.

    Raises:
        WeightsError: the file cannot be written.
    """
    with writing(path), replacing(path) as part:
        write(part.name)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong while ``path`` is written into a `WeightsError`."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, safetensors.SafetensorError) as error:  # torch raises a RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"cannot write {path}: {one_line(reason)}; wanted a writable place: check it and its space"
        ) from None
