"""Files that ``torch.save`` wrote, read so that a file can ask for no more than it holds.

``torch.load(weights_only=True)`` runs no code of the file. But a few bytes of pickle can make it allocate any amount:
a zip member may be compressed, a quantised tensor or a bytearray is made from numbers alone, and a tensor with stride
0 repeats one number for ever. So the archive and the pickle's names are looked at first, and every tensor afterwards.

Knows: torch's two file formats, pickle's opcodes, what a tensor may be. Does not know: what the content means.
"""

from __future__ import annotations

import io
import os
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import WeightsError
from ..system.foreign_data import foreign_data, one_line, shown
from ..system.optional import need

#: Bytes of pickle, which can become a hundred times as many in memory. The pickle of a DAC has 100 KB.
_MOST_PICKLE = 2 << 20
#: How a torch file begins that is a zip archive; older ones are pickles, one after the other.
_ZIP = b"PK\x03\x04"
#: Pickles in an older file: a number, a version, the system, the content, the names of the storages.
_OLD_PICKLES = 5
_TYPES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
#: What a pickle may name: what makes dense tensors of numpy's types, and plain values.
_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch.nn.parameter Parameter",
    "torch Size",
    "torch device",
    "torch.serialization _get_layout",
    "_codecs encode",
    "builtins set",
    "__builtin__ set",
    "builtins complex",
    "__builtin__ complex",
    *(f"torch {name}Storage" for name in _TYPES),
    *(f"torch {name}" for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
        "complex128",
    )),
}  # fmt: skip
#: What is left out on purpose, in words.
_OTHERS = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a meta tensor, which has no values",
    "_rebuild_tensor_v3": "a tensor of a type such as float8",
    "ComplexFloatStorage": "a complex tensor",
    "ComplexDoubleStorage": "a complex tensor",
}


def read_torch(path: Path, wanted: str) -> Any:
    """The content of a file that ``torch.save`` wrote. Its tensors are on the CPU.

    Args:
        path: the file.
        wanted: what to say about a file that cannot be read: what was wanted, and what to do.

    Raises:
        WeightsError: the file is damaged, holds code or objects other than dense tensors and plain values, or claims
            more than it holds.
        OSError: it cannot be opened.
        ExtraError: torch is not installed.
    """
    with foreign_data(WeightsError, str(path), wanted):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
        pickles = _in_archive(path, size, wanted) if start == _ZIP else _in_old_file(path)
        for name in sorted(_names_in(pickles)):
            if name not in _NAMES:
                what = _OTHERS.get(name.rpartition(" ")[2]) or one_line(name.replace(" ", "."))
                raise WeightsError(f"{path} is damaged or holds more than tensors ({what}); {wanted}")
        torch = need("torch", "torch", f"{one_line(path)} is a torch file, and reading one needs")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about archives that it then refuses
                return torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:
            # torch's messages go on for many lines, with advice that does not apply here.
            reason = one_line((str(error) or type(error).__name__).partition("\n")[0], 120)
            raise WeightsError(f"{path} is damaged or holds more than tensors ({reason}); {wanted}") from None


class _InPieces(io.FileIO):
    """A file that is read in small pieces only: zipfile reads a list of members, however long, in one."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        if (left if size is None or size < 0 else size) > 2 * _MOST_PICKLE:
            raise ValueError(f"a part of it is longer than {2 * _MOST_PICKLE} bytes")
        return super().read(size) or b""


def _in_archive(path: Path, size: int, wanted: str) -> list[bytes]:
    """The pickles of a zip archive whose members are stored as they are, and together are no larger than the file."""
    with _InPieces(path) as file, zipfile.ZipFile(file) as archive:
        if _directory(file, size) != archive.start_dir:  # torch would read another list of members
            raise WeightsError(f"{path} has no list of parts where it says; {wanted}")
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise WeightsError(f"{path} is a compressed archive; {wanted}")
        if sum(member.file_size for member in members) > size:
            raise WeightsError(f"{path} has {size} bytes, but its parts claim more; {wanted}")
        pickles = [member for member in members if member.filename.lower().endswith(".pkl")]  # as torch looks
        if sum(member.file_size for member in pickles) > _MOST_PICKLE:
            raise WeightsError(f"{path} has a pickle of more than {_MOST_PICKLE} bytes; {wanted}")
        return [archive.read(member) for member in pickles]


def _directory(file: io.FileIO, size: int) -> int:
    """Where an archive says that its list of members begins. zipfile looks elsewhere, too, if it is not there."""
    file.seek(max(0, size - 42))
    end = file.read(42)
    if end[-22:-18] != b"PK\5\6" or len(end) < 42:
        return -1
    if end[:4] != b"PK\6\7":
        return int.from_bytes(end[-6:-2], "little")
    begin = size - 42 - 56  # of the 64-bit record, which torch writes, and which nothing may part from the rest
    if int.from_bytes(end[8:16], "little") != begin or begin < 0:
        return -1
    file.seek(begin)
    return int.from_bytes(file.read(56)[48:], "little")


def _in_old_file(path: Path) -> list[bytes]:
    """The pickles at the beginning of an older file."""
    with path.open("rb") as file:
        start = io.BytesIO(file.read(_MOST_PICKLE))
    pickles = []
    for _ in range(_OLD_PICKLES):
        begin = start.tell()
        for _ in pickletools.genops(start):
            pass
        pickles.append(start.getvalue()[begin : start.tell()])
    return pickles


def _names_in(pickles: list[bytes]) -> set[str]:
    """Every ``module name`` in the pickles. Only the opcodes that torch takes are known: all others name nothing."""
    return {
        str(value)
        for pickle in pickles
        for code, value, _ in pickletools.genops(pickle)
        if code.name in ("GLOBAL", "INST")
    }


def as_arrays(state: dict[Any, Any], path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of `read_torch` under their names, without copies save for bfloat16, which becomes float32.

    Raises:
        WeightsError: a name that is no string, a value that is no dense tensor, or more elements than the file holds.
    """
    torch = need("torch", "torch", "the tensors of a torch file need")
    size, left = path.stat().st_size, path.stat().st_size
    for name, value in state.items():
        if not isinstance(name, str):
            raise WeightsError(f"{path} has a tensor called {shown(name)}; wanted a string: save the state dict only")
        if not isinstance(value, torch.Tensor):
            came = f"{one_line(name)} in {path} is a {type(value).__name__}"
            raise WeightsError(f"{came}; wanted a tensor: save the state dict only")
        dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
        if not dense or value.device.type != "cpu":
            raise WeightsError(
                f"{one_line(name)} in {path} is not a dense tensor with values; wanted one: convert it first"
            )
        left -= value.numel() * value.element_size()
        if left < 0:
            raise WeightsError(
                f"{one_line(name)} in {path} has shape {shown(list(value.shape))}, for which the file's {size} bytes "
                "are not enough; wanted tensors whose values are all stored: call contiguous() before saving"
            )
    # numpy lacks bfloat16; float32 holds it exactly.
    dense_values = {name: value.detach() for name, value in state.items()}
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        for name, value in dense_values.items()
    }
