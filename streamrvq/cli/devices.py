"""``streamrvq devices``: the input devices. Knows: a table. Does not know: PortAudio (live/sources/portaudio.py)."""

from __future__ import annotations

import asyncio
import dataclasses

from rich.table import Table

from ..live.sources.portaudio import input_devices
from .common import JsonOption, out, print_json


def devices(json: JsonOption = False) -> None:
    """List the sound devices that `mic --device` can name."""
    found = asyncio.run(input_devices())
    if json:
        print_json([dataclasses.asdict(device) for device in found])
        return
    table = Table("", "device", "host", "channels", "default rate", "latency", box=None, header_style="bold")
    for device in found:
        table.add_row(
            f"{'*' if device.default else ' '} {device.index}", device.name, device.host, str(device.channels),
            f"{device.default_rate} Hz", f"{1e3 * device.latency_low:.1f} to {1e3 * device.latency_high:.1f} ms",
        )  # fmt: skip
    out().print(table)
    out().print("* is the default; mic --device takes an index, or a name or part of one", style="dim")
