"""What every part of the check is given: the GPU, engines on it, the time that is left, and where results go.

Knows: how a GPU is opened and watched. Does not know: what a part looks at.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from streamrvq.engine.cuda.device import Device, Recording, Work
from streamrvq.engine.cuda.engine import CudaEngine

from ..modules_of_tests import of_tests
from .cases import CODECS, Codec
from .expected import Expected, read


class Watched:
    """A device that remembers what was recorded on it last, and is otherwise the one that it stands for."""

    def __init__(self, device: Any) -> None:
        self.device, self.recording, self.work = device, cast(Any, None), list[Work]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def record(self, work: Sequence[Work]) -> Recording:
        recording: Recording = self.device.record(work)
        self.recording, self.work = recording, list(work)
        return recording


@dataclasses.dataclass
class Context:
    """Of one part, which is a process.

    Attributes:
        device: ``"cuda:0"`` and so on, or ``"emulated"``: the tests' device on the CPU, to try the check itself.
        names: codecs to look at; empty: those that the part would.
        seconds: that the part may take.
        result: what the part found, written to ``file`` by `save`; ``wrong`` in it counts what must not be.
    """

    device: str
    expected: Path
    names: tuple[str, ...]
    seconds: float
    file: Path
    result: dict[str, Any] = dataclasses.field(default_factory=lambda: {"wrong": 0, "rows": []})

    def __post_init__(self) -> None:
        self._begin = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self._begin)

    def open(self) -> Device:
        if self.device == "emulated":
            emulated: Device = of_tests("support.cuda.emulated").EmulatedDevice()
            return emulated
        from streamrvq.engine.cuda.gpu import Gpu

        return Gpu(self.device)

    def engine(self, codec: Codec, device: Device) -> CudaEngine:
        return CudaEngine(codec.config, codec.weights().tensors, device)

    def codecs(self, usual: Sequence[Codec]) -> Iterator[Codec]:
        """Those that were asked for, or the usual ones, while there is time."""
        for codec in [CODECS[name] for name in self.names] or usual:
            if self.left < 3:
                self.say(f"no time left for {codec.name}", left_out=codec.name)
                continue
            yield codec

    def hashes(self) -> Expected:
        return read(self.expected)

    def say(self, line: str, wrong: bool = False, **row: Any) -> None:
        """Print a line, and keep its figures."""
        print(f"{'WRONG ' if wrong else ''}{line}", flush=True)
        self.result["wrong"] += int(wrong)
        self.result["rows"].append({**row, "wrong": wrong})
        self.save()

    def save(self) -> None:
        self.file.write_text(json.dumps(self.result), encoding="utf-8")
