"""The three kinds of objects that copying needs to know: never copied, shared, copied whole."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from streamrvq.errors import InputError, PoolError
from streamrvq.system.copying import CopiedWhole, NeverCopied, Shared

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, pickle.dumps]


class Device(NeverCopied, error=InputError, holds="a device", instead="make another one"):
    """Cannot be had twice."""


class Louder(Device):
    """Says what its parent says."""


class Other(Device, error=PoolError, holds="another device", instead="leave it"):
    """Has words of its own."""


class Constant(Shared):
    """Does not change."""


class Engine(Shared, NeverCopied, error=InputError, holds="threads", instead="pickle its codec"):
    """Does not change, but is of this process."""


class Buffer(CopiedWhole):
    """Changes."""

    def __init__(self) -> None:
        self.parts: list[int] = []


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "thing, error, words",
    [
        (Device, InputError, "Device holds a device and can be neither copied nor pickled; make another one"),
        (Louder, InputError, "Louder holds a device and can be neither copied nor pickled; make another one"),
        (Other, PoolError, "Other holds another device and can be neither copied nor pickled; leave it"),
    ],
)
def test_never_copied(copied: Callable[[Any], Any], thing: type[Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        copied(thing())
    assert str(raised.value) == words
    assert isinstance(raised.value, TypeError)
    assert pickle.loads(pickle.dumps(raised.value)).args == (words,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_never_pickled(protocol: int) -> None:
    with pytest.raises(InputError, match="Device holds a device"):
        pickle.dumps([Device()], protocol)


@pytest.mark.parametrize("thing", [Constant(), Engine()])
def test_shared(thing: Any) -> None:
    assert copy.copy(thing) is thing
    assert copy.deepcopy([thing])[0] is thing


def test_shared_and_never_pickled() -> None:
    with pytest.raises(InputError) as raised:
        pickle.dumps(Engine())
    assert str(raised.value) == "Engine holds threads and cannot be pickled; pickle its codec"


def test_shared_is_pickled_as_usual() -> None:
    assert isinstance(pickle.loads(pickle.dumps(Constant())), Constant)


def test_copied_whole() -> None:
    buffer = Buffer()
    copied = copy.copy(buffer)
    copied.parts.append(1)
    assert buffer.parts == []
