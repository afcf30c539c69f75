"""The ways in which Python copies a value. A pickle counts as one: it is a copy in another process."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest


def pickled(value: Any) -> Any:
    """What another process would get."""
    return pickle.loads(pickle.dumps(value))


WAYS: dict[str, Callable[[Any], Any]] = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": pickled}
#: Runs a test with the argument ``copied`` in each way.
copies = pytest.mark.parametrize("copied", list(WAYS.values()), ids=list(WAYS))
