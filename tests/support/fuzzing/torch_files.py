"""Files of ``torch.save`` with one thing broken: a tensor's kind, a plain value, an opcode, the archive.

Knows: torch's tensors, pickle's opcodes, zip archives. Does not know: what the file means.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st

from .raw_bytes import one_change


def _quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8)


def _nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])


def _laughs() -> list[Any]:
    """A small list that would have 10^30 elements if it were written down."""
    value: list[Any] = [1]
    for _ in range(30):
        value = [value] * 10
    return value


def _itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


#: Tensors that are not what a weight is.
TENSORS: dict[str, Callable[[], torch.Tensor]] = {
    "empty": lambda: torch.zeros(0), "no rows": lambda: torch.zeros(0, 3), "scalar": lambda: torch.zeros(()),
    "70 dimensions": lambda: torch.zeros([1] * 64), "int": lambda: torch.zeros(3, dtype=torch.int64),
    "bool": lambda: torch.zeros(3, dtype=torch.bool), "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "conjugate": lambda: torch.zeros(3, dtype=torch.complex64).conj(),
    "float8": lambda: torch.zeros(3).to(torch.float8_e4m3fn), "uint16": lambda: torch.zeros(3, dtype=torch.uint16),
    "bfloat16": lambda: torch.zeros(3, dtype=torch.bfloat16), "sparse": lambda: torch.zeros(3, 3).to_sparse(),
    "meta": lambda: torch.zeros(3, device="meta"), "quantised": _quantised, "nested": _nested,
    "stride 0": lambda: torch.zeros(1).expand(1 << 16, 1 << 15),
    "2^40": lambda: torch.zeros(1).expand(1 << 20, 1 << 20),
    "overlapping": lambda: torch.zeros(100).as_strided((90, 11), (1, 1)),
    "gradient": lambda: torch.zeros(3, requires_grad=True), "nan": lambda: torch.full((3,), float("nan")),
}  # fmt: skip
#: Plain values that are not what a setting is.
VALUES: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: -1, lambda: 10**9, lambda: 10**400, lambda: 10**5000, lambda: float("nan"),
    lambda: float("inf"), lambda: "\ud800", lambda: "a\0b", lambda: [], lambda: [[8], [8]], lambda: [{}, {}],
    lambda: {}, lambda: {1: 2, None: 3}, lambda: ("a", 1), lambda: {1, 2}, lambda: b"\xff", lambda: 1j,
    lambda: torch.zeros(2),
    lambda: torch.tensor(64), lambda: torch.Size([2, 4]), lambda: torch.float32, _laughs, _itself,
    lambda: bytearray(9),
]  # fmt: skip


def saved(content: Any, old: bool = False) -> bytes:
    """``content`` as a file."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, out, _use_new_zipfile_serialization=not old)
    return out.getvalue()


def _rebuilt(file: bytes, pickle: Callable[[bytes], bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(out, "w", compress) as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member.filename, pickle(data) if member.filename.endswith("data.pkl") else data)
    return out.getvalue()


#: Pieces of pickle: a call that asks for memory, a number beyond all, a name of something else, deep nesting.
_PIECES = [
    b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR0", b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR0",
    b"ctorch.storage\nUntypedStorage\n(J\xff\xff\xff\x7ftR0", b"cos\nsystem\n(Vtouch x\ntR0", b"J\xff\xff\xff\x7f0",
    b"\x8a\xff" + b"\x7f" * 255 + b"0", b"(" * 5000, b"]" * 5000, b"r\xff\xff\xff\x7f", b"X\xff\xff\xff\x7fabc",
    b"X\x03\x00\x00\x00\xed\xa0\x800", b"h\xff", b".", b"t", b"R", b"Q", b"\x80\x05",
    b"ctorch\nSize\n]J\xff\xff\xff\x7faR0",
    b"ccollections\nCounter\n)R0", b"c\n\n", b"c\xff\n\xff\n",
]  # fmt: skip


@st.composite
def broken_pickle(draw: st.DrawFn, pickle: bytes) -> bytes:
    """``pickle`` with one opcode changed, removed or added."""
    ends = [position for _, _, position in pickletools.genops(pickle) if position] + [len(pickle)]
    at = draw(st.integers(0, len(ends) - 2))
    first, last = ends[at], ends[at + 1]
    kind = draw(st.sampled_from(["remove", "insert", "number", "repeat"]))
    if kind == "remove":
        return pickle[:first] + pickle[last:]
    if kind == "insert":
        return pickle[:first] + draw(st.sampled_from(_PIECES)) + pickle[first:]
    if kind == "repeat":
        return pickle[:first] + pickle[first:last] * draw(st.integers(2, 2000)) + pickle[last:]
    number = draw(st.sampled_from([0, -1, 1, 2**31 - 1, -(2**31), 1000, 7]))
    return pickle[:first] + b"J" + struct.pack("<i", number) + pickle[last:]


@st.composite
def broken_torch_file(draw: st.DrawFn, file: bytes) -> bytes:
    """``file``, which is right, with one thing broken in its pickle or its archive."""
    kind = draw(st.sampled_from(["pickle", "pickle", "compressed", "bytes"]))
    if kind == "pickle":
        return _rebuilt(file, lambda pickle: draw(broken_pickle(pickle)))
    if kind == "compressed":
        return _rebuilt(file, lambda pickle: pickle, zipfile.ZIP_DEFLATED)
    return draw(one_change(file))
