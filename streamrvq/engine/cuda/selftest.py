"""The self-test of a device's bits."""

from __future__ import annotations

from .device import Device


def check_device(device: Device) -> None:
    """Refuse a device whose bits are wrong."""
