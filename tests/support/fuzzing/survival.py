"""The claim of every fuzzing test: a reader takes what it is given, or refuses it with an error of ours.

Knows: the targets of tools/fuzzing, and what they may do. Does not know: formats; each has a file of its own here.
"""

from __future__ import annotations

from tests.support.patience import PATIENCE
from tools.fuzzing.judging import fault_of, forget_peak
from tools.fuzzing.registry import targets


def assert_survives(name: str, data: bytes) -> None:
    """The target ``name`` reads ``data`` or refuses it in one line: no traceback, no hang, no more than 200 MiB."""
    forget_peak()
    fault = fault_of(targets()[name], data, seconds=PATIENCE)
    assert fault is None, f"{fault.kind}: {fault.what}"
