"""The self-test: does this device compute the CPU's bits? Every kernel and tile on small layers, in milliseconds.

Knows: the tests of all kernels. Does not know: what a kernel computes; codecs, steps.

A GPU, driver or compiler that rounds otherwise, flushes denormal numbers, fuses or reorders, is refused at the start.
"""

from __future__ import annotations

import weakref
from typing import Any

from ....errors import EngineError
from ..device import Device
from .coding import CodingTests
from .layers import LayerTests
from .rows import RowTests

_passed: weakref.WeakSet[Any] = weakref.WeakSet()


def check_device(device: Device) -> None:
    """Refuse a device whose bits are wrong. One that passed is not asked again.

    Raises:
        EngineError: it names the kernels.
    """
    if device in _passed:
        return
    tests = LayerTests(device), RowTests(device), CodingTests(device)
    wrong = [name for test in tests for name, right in test.results() if not right]
    if wrong:
        raise EngineError(
            f"{device.name} fails the self-test of its bits ({', '.join(wrong)}), and its tokens would not be the "
            "CPU's; update its driver, report this, and use engine='native'"
        )
    _passed.add(device)
