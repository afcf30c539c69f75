"""What a connection needs of its server: the parts that all connections share.

Knows: which parts there are. Does not know: who makes them (server.py), who uses them (connection.py).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from .access import Restarts
from .logs import Repeats
from .metrics import Metrics
from .scheduling.live_load import LiveLoad
from .scheduling.scheduler import Scheduler
from .sessions import Sessions
from .settings import ServerSettings

if TYPE_CHECKING:
    from ...codec import Codec


@dataclasses.dataclass
class Services:
    """The parts that all connections of a server share. Only ``settings`` are ever replaced: when tokens change."""

    codec: Codec
    settings: ServerSettings
    scheduler: Scheduler
    sessions: Sessions
    metrics: Metrics
    load: LiveLoad = dataclasses.field(default_factory=LiveLoad)
    repeats: Repeats = dataclasses.field(default_factory=Repeats)
    restarts: Restarts = dataclasses.field(default_factory=Restarts)
