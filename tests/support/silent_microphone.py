"""What stands in for `streamrvq.Microphone` where a test decides what it hears.

Knows: the calls that the command line makes. Does not know: sound devices.
"""

from __future__ import annotations

from typing import Self

from tests.support.service import RATE


class SilentMicrophone:
    """A microphone that opens, stops and closes; subclasses say what it hears, in ``__aiter__``."""

    def __init__(self, rate: int | None = None) -> None:
        self.sample_rate = RATE

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def stop(self) -> None:
        pass
