"""Who is told what happens in a run.

Knows: the events. Does not know: how they are shown.
"""

from __future__ import annotations

from typing import Any, Protocol


class RunObserver(Protocol):
    """Receives the events of a run, for example to show them."""

    def decoded(self, name: str, seconds: float) -> None:
        """A file of ``seconds`` was decoded into the cache."""

    def remarked(self, text: str) -> None:
        """Something about the run that people should know."""

    def making(self, what: str, frames: int, share: float) -> None:
        """First values or codebooks are made from ``frames`` frames. ``share`` of the work is done."""

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, Any]) -> None:
        """A step is done. ``speed``: seconds of audio trained on per second, since the run was started.

        On a GPU it is told of some steps only, with the means since the last one.
        """

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        """A validation is done."""


class Unobserved:
    """An observer of a process whose run another process shows."""

    def decoded(self, name: str, seconds: float) -> None: ...

    def remarked(self, text: str) -> None: ...

    def making(self, what: str, frames: int, share: float) -> None: ...

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, Any]) -> None: ...

    def validated(self, step: int, figures: dict[str, Any]) -> None: ...
