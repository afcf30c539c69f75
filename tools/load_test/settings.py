"""The settings of a run.

Knows: values and their ranges. Does not know: what is done with them.
"""

from __future__ import annotations

import dataclasses
import math

from streamrvq.config import DEFAULT_CODEC

from .errors import LoadError


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run; times in seconds. Raises `LoadError` for a value out of range."""

    codec: str = DEFAULT_CODEC
    streams: int = 8
    seconds: float = 30.0
    rate: int | None = None  #: of the clients' audio, Hz; None: the codec's
    block: int | None = None  #: samples in a message; None: one hop
    faults: float = 0.0  #: share of the clients that have a fault in each `period`
    period: float = 60.0
    seed: int = 0
    pin: bool = False  #: the server on one core, the load on another
    uvloop: bool = False  #: on both sides
    null: bool = False  #: serve a codec that costs nothing
    engine: str = "auto"
    threads: int = 1  #: of the server's engine
    device: str | None = None  #: where the server computes, such as "cuda"; it has neither `engine` nor `threads` then
    send_timeout: float = 10.0  #: of the server: how soon it disconnects a client that never reads
    server: tuple[str, ...] = ()  #: a command to run instead of ``streamrvq serve``, with the same arguments
    options: tuple[str, ...] = ()  #: further arguments for that command
    token: str | None = None  #: that the clients show
    descriptors: int | None = None  #: files that the server may open; None: as many as this process

    def __post_init__(self) -> None:
        for name, low in {"streams": 1, "threads": 1, "rate": 1, "block": 1, "seed": 0}.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise LoadError(f"{name} is {value}; wanted a whole number of at least {low}")
        for name in ("seconds", "period", "send_timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise LoadError(f"{name} is {getattr(self, name)}; wanted a number of seconds, more than 0")
        if not 0 <= self.faults <= 1:
            raise LoadError(f"faults is {self.faults}; wanted a share of the clients, 0 to 1")

    @property
    def faults_per_period(self) -> int:
        """How many clients have a fault in each period."""
        return max(1, round(self.faults * self.streams)) if self.faults else 0
