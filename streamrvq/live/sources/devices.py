"""Sound devices that can be listened to, and which of them is meant.

Knows: names and numbers. Does not know: PortAudio.
"""

from __future__ import annotations

import dataclasses

from ...errors import DeviceError


@dataclasses.dataclass(frozen=True)
class InputDevice:
    """A device that can be listened to, as PortAudio lists it. Latencies are in seconds, its proposals."""

    index: int
    name: str
    host: str  #: ALSA, JACK Audio Connection Kit, Core Audio …
    channels: int
    default_rate: int
    latency_low: float
    latency_high: float
    default: bool


def find(devices: list[InputDevice], wanted: int | str | None) -> InputDevice:
    """The device of an index, or whose name (or ``name, host``) contains a text, in any case; None: the default.

    Raises:
        DeviceError: none, or several of which none has exactly this name.
    """
    listed = "; ".join(f"{device.index} {device.name}, {device.host}" for device in devices)
    if wanted is None:
        return next((device for device in devices if device.default), devices[0])
    if isinstance(wanted, int):
        found = [device for device in devices if device.index == wanted]
    else:
        text = wanted.lower()
        names = [(device, device.name.lower(), f"{device.name}, {device.host}".lower()) for device in devices]
        found = [device for device, name, full in names if text in (name, full)]
        found = found or [device for device, _, full in names if text in full]
    if len(found) != 1:
        many = f"{len(found)} devices match" if found else "there is no"
        raise DeviceError(f"{many} input device {wanted!r}; there are: {listed}: give an index or a whole name")
    return found[0]
