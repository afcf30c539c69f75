"""What a run is to be. Knows: values and their ranges. Does not know: what is done with them."""

from __future__ import annotations

import dataclasses

from streamrvq.config import DEFAULT_CODEC

from .errors import LoadError


@dataclasses.dataclass(frozen=True)
class Settings:
    """Times in seconds. Raises `LoadError` for a value out of range."""

    codec: str = DEFAULT_CODEC
    streams: int = 8
    seconds: float = 30.0
    rate: int | None = None  #: of what clients send, Hz; None: the codec's
    block: int | None = None  #: samples of a message; None: as many as make a hop
    faults: float = 0.0  #: share of the clients that something happens to in each `period`
    period: float = 60.0
    seed: int = 0
    pin: bool = False  #: server on one core, load on another
    uvloop: bool = False  #: on both sides
    null: bool = False  #: serve a codec that costs nothing
    engine: str = "auto"
    threads: int = 1  #: of the server's engine
    send_timeout: float = 10.0  #: of the server: how soon a client that never reads is cut off
    server: tuple[str, ...] = ()  #: another command than ``streamrvq serve``; takes the same arguments
    options: tuple[str, ...] = ()  #: more arguments for it

    def __post_init__(self) -> None:
        for name, low in {"streams": 1, "threads": 1, "block": 1, "seed": 0}.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise LoadError(f"{name} is {value}; wanted a whole number of at least {low}")
        for name in ("seconds", "period", "send_timeout"):
            if not getattr(self, name) > 0:
                raise LoadError(f"{name} is {getattr(self, name)}; wanted seconds, more than 0")
        if not 0 <= self.faults <= 1:
            raise LoadError(f"faults is {self.faults}; wanted a share of the clients, 0 to 1")

    @property
    def hits(self) -> int:
        """Clients that something happens to in a period."""
        return max(1, round(self.faults * self.streams)) if self.faults else 0
