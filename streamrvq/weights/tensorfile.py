"""Safetensors files as numpy arrays and text: reading any of them, and writing one, whole or not at all.

Knows: the safetensors format, bfloat16. Does not know: what the tensors belong to. It never imports torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.numpy import save_file

from ..errors import WeightsError

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip


def unreadable(path: Path, error: OSError) -> WeightsError:
    """The error for a file that cannot be read."""
    reason = error.strerror or str(error)
    return WeightsError(f"cannot read {path}: {reason}; wanted a weights file: check the path")


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises `WeightsError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """``(tensors, metadata)`` of a safetensors file. bfloat16 is widened to float32, exactly.

    Raises:
        WeightsError: the file cannot be read, is truncated or not a safetensors file, or holds an unknown type.
    """
    data = read_bytes(path)
    try:
        found = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} is damaged or not a safetensors file ({reason}); wanted a whole one: fetch or save it again"
        ) from None
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in found:
        kind, raw, shape = entry["dtype"], entry["data"], entry["shape"]
        if kind == "BF16":  # the upper half of a float32
            wide = np.frombuffer(raw, "<u2").astype("<u4") << np.uint32(16)
            tensors[name] = wide.view("<f4").reshape(shape)
        elif kind in _TYPES:
            tensors[name] = np.frombuffer(raw, _TYPES[kind]).reshape(shape)
        else:
            raise WeightsError(f"{name} in {path} is {kind}; wanted a float type of at most 64 bits: convert it")
    return tensors, header.get("__metadata__", {})


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Raises as `replace`."""
    replace(path, lambda part: save_file(dict(tensors), part, metadata))


def replace(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` make a file beside ``path`` and then rename it. So ``path`` is never a partial file.

    Raises:
        WeightsError: the file cannot be written.
    """
    part = None
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        write(part)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)  # mkstemp would leave 0600
        os.replace(part, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"cannot write {path}: {error}; wanted a writable place: check it and its space") from None
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part)
