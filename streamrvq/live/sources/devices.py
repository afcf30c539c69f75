"""Sound devices, and how a user's index or text selects one of them.

Knows: names and numbers. Does not know: PortAudio.
"""

from __future__ import annotations

import dataclasses
from numbers import Integral
from typing import Literal

from ...errors import DeviceError, InputError
from ...system.foreign_data import shown

Direction = Literal["input", "output"]


@dataclasses.dataclass(frozen=True)
class SoundDevice:
    """A device to listen to or to play through, as PortAudio lists it. Latencies are in seconds, as it suggests."""

    index: int
    name: str
    host: str  #: ALSA, JACK Audio Connection Kit, Core Audio …
    channels: int
    default_rate: int
    latency_low: float
    latency_high: float
    default: bool


def find_device(
    devices: list[SoundDevice], wanted: int | str | None, direction: Direction = "input"
) -> SoundDevice:  # fmt: skip
    """The device that ``wanted`` selects.

    Args:
        devices: all there are.
        direction: which they are, for error messages.
        wanted: an index; or a text that the name, or ``name, host``, contains, in any case; None: the default device.

    Raises:
        InputError: it is neither an index nor a text.
        DeviceError: there is none, or there are several and none of them has exactly this name.
    """
    listed = "; ".join(f"{device.index} {device.name}, {device.host}" for device in devices)
    if wanted is None:
        return next((device for device in devices if device.default), devices[0])
    if isinstance(wanted, bool) or not isinstance(wanted, (Integral, str)):
        raise InputError(f"device is {shown(wanted)}; wanted an index, a name or part of a name, or None")
    if isinstance(wanted, Integral):
        found = [device for device in devices if device.index == wanted]
    else:
        text = wanted.lower()
        names = [(device, device.name.lower(), f"{device.name}, {device.host}".lower()) for device in devices]
        found = [device for device, name, full in names if text in (name, full)]
        found = found or [device for device, _, full in names if text in full]
    if len(found) != 1:
        many = f"{len(found)} devices match" if found else "there is no"
        raise DeviceError(
            f"{many} {direction} device {shown(wanted)}; there are: {listed}: give an index or a whole name"
        )
    return found[0]
