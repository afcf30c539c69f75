"""Any file with one thing broken that needs no knowledge of its format: a byte, a length, an end, a piece.

Knows: bytes. Does not know: formats.
"""

from __future__ import annotations

import struct

from hypothesis import strategies as st

#: Lengths, counts and offsets that readers stumble over.
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**63,
                           2**64 - 1])  # fmt: skip


@st.composite
def one_change(draw: st.DrawFn, data: bytes, first: int = 2000) -> bytes:
    """``data`` with one change, mostly among its ``first`` bytes, where formats keep their structure."""
    at = draw(st.integers(0, max(0, min(len(data), first) - 1)) | st.integers(0, max(0, len(data) - 1)))
    kind = draw(st.sampled_from(["byte", "number", "cut", "remove", "insert", "repeat", "none"]))
    if kind == "byte":
        return data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    if kind == "number":
        code = draw(st.sampled_from(["<H", ">H", "<I", ">I", "<Q", ">Q"]))
        size = struct.calcsize(code)
        return data[:at] + struct.pack(code, draw(NUMBERS) % 256**size) + data[at + size :]
    if kind == "cut":
        return data[:at]
    length = draw(st.integers(1, 40))
    if kind == "remove":
        return data[:at] + data[at + length :]
    if kind == "insert":
        return data[:at] + draw(st.binary(max_size=length)) + data[at:]
    if kind == "repeat":
        return data[:at] + data[at : at + length] * draw(st.integers(2, 50)) + data[at:]
    return data
