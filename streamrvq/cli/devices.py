"""``streamrvq devices``: the sound devices. Knows: a table. Does not know: PortAudio (live/sources/portaudio.py)."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from ..live.sources.portaudio import sound_devices
from .common import JsonOption, out, print_json
from .screen.tables import print_table


def devices(
    output: Annotated[bool, typer.Option("--output", help="Those to play through, for `play`.")] = False,
    json: JsonOption = False,
) -> None:
    """List the sound devices that `mic --device` can name, or `play --device`."""
    found = asyncio.run(sound_devices("output" if output else "input"))
    if json:
        print_json([dataclasses.asdict(device) for device in found])
        return
    table = Table("", "device", "host", "channels", "default rate", "latency", box=None, header_style="bold")
    for device in found:
        table.add_row(
            f"{'*' if device.default else ' '} {device.index}", device.name, device.host, str(device.channels),
            f"{device.default_rate} Hz", f"{1e3 * device.latency_low:.1f} to {1e3 * device.latency_high:.1f} ms",
        )  # fmt: skip
    print_table(out(), table)
    command = "play" if output else "mic"
    out().print(f"* is the default; {command} --device takes an index, or a name or part of one", style="dim")
