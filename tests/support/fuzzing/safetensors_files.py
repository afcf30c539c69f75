"""Safetensors files with one thing broken: a type, a shape, an offset, a name, the metadata, the header's length.

The file is put together by hand: the library would refuse to write most of these.

Knows: the format. Does not know: whose tensors they are.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .json_text import HOSTILE, text_of
from .raw_bytes import NUMBERS, one_change

_TYPES = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I8", "U8", "U16", "U64", "BOOL", "C64",
          "F4", "", "X"]  # fmt: skip
_SHAPES: list[list[int]] = [[], [0], [1], [1] * 8, [1] * 70, [0, 2**63 - 1], [0, 2**40, 2**40], [2**62, 0],
                            [2**32, 2**32], [2**62, 4], [0, 0], [-1], [3, 0, 5]]  # fmt: skip
_NAMES = ["", "x", "\ud800", "a\0b", "a\nb", "x" * 5000, "__metadata__", "a.weight_g", "a.weight_v", "[/x]"]


def put_together(header: str, data: bytes, length: int | None = None) -> bytes:
    """A file of this header and data; ``length`` is what it says of the header, None: the truth."""
    raw = header.encode("utf-8", "surrogatepass")
    raw += b" " * (-len(raw) % 8)
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def taken_apart(file: bytes) -> tuple[dict[str, Any], bytes]:
    """A right file's header and data."""
    length = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + length]), file[8 + length :]


@st.composite
def broken_safetensors(draw: st.DrawFn, file: bytes) -> bytes:
    """``file``, which is right, with one thing broken; sometimes with none."""
    header, data = taken_apart(file)
    names = [name for name in header if name != "__metadata__"]
    name = draw(st.sampled_from(names))
    entry = header[name]
    kind = draw(st.sampled_from(
        ["type", "shape", "offsets", "name", "values", "empty", "metadata", "text", "length", "bytes", "extra"]
    ))  # fmt: skip
    if kind == "type":
        entry["dtype"] = draw(st.sampled_from(_TYPES))
    elif kind == "shape":
        entry["shape"] = draw(st.sampled_from(_SHAPES))
    elif kind == "offsets":
        entry["data_offsets"][draw(st.integers(0, 1))] = draw(NUMBERS)
    elif kind == "name":
        header[draw(st.sampled_from(_NAMES))] = header.pop(name)
    elif kind == "values":
        first, last = entry["data_offsets"]
        fill = draw(st.sampled_from([b"\x00", b"\xff", b"\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\xc0\x7f"]))
        data = data[:first] + (fill * (last - first))[: last - first] + data[last:]
    elif kind == "empty":  # an added tensor without bytes may have any shape that has a 0
        header["added"] = {"dtype": draw(st.sampled_from(_TYPES)), "shape": draw(st.sampled_from(_SHAPES)),
                           "data_offsets": [len(data), len(data)]}  # fmt: skip
    elif kind == "extra":
        scale = draw(st.sampled_from(["weight_g", "weight_v", "parametrizations.weight.original0"]))
        shape = draw(st.sampled_from([[], [1], [0, 3], [1, 1, 1], [4]]))
        size = 4 * int(np.prod(shape))
        header[f"a.{scale}"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += bytes(size)
    elif kind == "metadata":
        metadata = header.setdefault("__metadata__", {})
        metadata[draw(st.sampled_from([*metadata, "format", "version", "x"]))] = draw(st.sampled_from(HOSTILE))
    elif kind == "text":
        paths = [(n, key) for n in names for key in ("dtype", "shape", "data_offsets")]
        where = draw(st.sampled_from([*paths, ("__metadata__",), (name,)]))
        return put_together(text_of(copy.deepcopy(header), {where: draw(st.sampled_from(HOSTILE))}), data)
    elif kind == "length":
        return put_together(json.dumps(header), data, draw(NUMBERS))
    else:
        return draw(one_change(file))
    return put_together(json.dumps(header), data)
