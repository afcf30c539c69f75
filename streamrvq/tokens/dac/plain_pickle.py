"""The pickles that numpy writes for plain values and arrays, read without pickle: nothing of them is ever called.

numpy saves an object, such as a dict, as a pickle in an ``.npy`` file. Its opcodes are taken one by one here. Numbers,
text, lists, tuples, dicts and numpy's arrays and scalars of numbers are made; whatever else a pickle names or asks for
is refused.

Knows: pickle's opcodes, and how numpy takes arrays apart. Does not know: what the values mean.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

#: How an ``.npy`` file begins that holds one object.
MAGIC = b"\x93NUMPY"
#: Opcodes of a pickle. A dict of a dozen values and two arrays takes some hundred.
_MOST_OPCODES = 10_000
#: What may be named, by module without the underscore of numpy 2, and name.
_NAMES = {("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"), ("numpy", "ndarray"),
          ("numpy", "dtype")}  # fmt: skip
_DTYPES = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}
#: Opcodes whose argument is the value, and those that make a tuple of so many values.
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
           "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(tuple[str, str]):
    """A name that a pickle asks for."""


class _Dtype:
    """A dtype that is put together."""

    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, "|"

    def build(self, state: Any) -> None:
        self.order = state[1]

    @property
    def whole(self) -> np.dtype[Any]:
        if self.kind not in _DTYPES or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"the dtype {self.order}{self.kind}")
        return np.dtype(self.order + self.kind)


class _Array:
    """An array that is put together."""

    def __init__(self) -> None:
        self.value: Any = None

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if dtype.kind in ("O", "O8"):
            if shape != () or len(data) != 1:
                raise ValueError("an array of objects")
            self.value = data[0]
            return
        self.value = np.frombuffer(data, dtype.whole).reshape(shape, order="F" if fortran else "C")


def object_in(data: bytes) -> Any:
    """The one object in an ``.npy`` file.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it holds something else, or asks for something else.
    """
    if data[:6] != MAGIC or data[6] not in (1, 2, 3):
        raise ValueError("no file of numpy")
    size = 2 if data[6] == 1 else 4
    begin = 8 + size
    end = begin + int.from_bytes(data[8:begin], "little")
    head = data[begin:end].decode("latin-1").replace('"', "'").replace(" ", "")
    if "'descr':'|O'" not in head or "'shape':()" not in head:
        raise ValueError("no single object")
    return _Machine().run(data[end:])


class _Machine:
    """Pickle's stack."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST_OPCODES:
                raise ValueError("too many opcodes")
            if opcode.name == "STOP":
                return _plain(self._stack.pop())
            self._take(opcode.name, argument)
        raise ValueError("no end")

    def _take(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            self._replace(len(stack) - count, tuple)
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name == "TUPLE":
            self._replace(self._marks.pop(), tuple)
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name in ("APPEND", "SETITEM", "APPENDS", "SETITEMS"):
            self._add(len(stack) - (1 if name == "APPEND" else 2) if name[-1] != "S" else self._marks.pop())
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(module, attribute))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], (_Array, _Dtype)):
                raise ValueError("a state of something else than an array")
            stack[-1].build(state)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"the opcode {name}")

    def _replace(self, begin: int, make: Callable[[list[Any]], Any]) -> None:
        if begin < 0:
            raise ValueError("an empty stack")
        self._stack[begin:] = [make(self._stack[begin:])]

    def _add(self, begin: int) -> None:
        items, to = self._stack[begin:], self._stack[begin - 1]
        if begin < 1 or not isinstance(to, (list, dict)):
            raise ValueError("items of nothing")
        del self._stack[begin:]
        if isinstance(to, list):
            to += items
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise ValueError("a key that is no text")
            to[key] = value


def _named(module: Any, attribute: Any) -> _Name:
    name = str(module).replace("numpy._core", "numpy.core"), str(attribute)
    if name not in _NAMES:
        raise ValueError(f"the name {name[0]}.{name[1]}")
    return _Name(name)


def _made(what: Any, arguments: Any) -> Any:
    """What a call that numpy asks for would make."""
    if not isinstance(what, _Name):
        raise ValueError("a call of something else than numpy's")
    if what[1] == "_reconstruct":
        return _Array()
    if what[1] == "dtype":
        return _Dtype(str(arguments[0]))
    if what[1] == "scalar":
        dtype, data = arguments
        (value,) = np.frombuffer(data, dtype.whole).tolist()
        return value
    raise ValueError(f"a call of {what[1]}")


def _plain(value: Any) -> Any:
    """A finished value, two levels deep."""
    if isinstance(value, _Array):
        value = value.value
    if isinstance(value, dict):
        return {
            key: _plain(item) if isinstance(item, dict) else item.value if isinstance(item, _Array) else item
            for key, item in value.items()
        }
    return value
