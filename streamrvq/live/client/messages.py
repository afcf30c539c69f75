"""A user's values as messages that servers take.

Knows: what JSON cannot hold; the protocol's own rules are in text.py. Does not know: sockets, the order of messages.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np

from ...errors import InputError, ProtocolError
from ...system.foreign_data import shown
from ..protocol.text import Message, parse

AnyMessage = TypeVar("AnyMessage", bound=Message)


def checked(message: AnyMessage) -> AnyMessage:
    """A client's message, with numpy's whole numbers as Python's. Raises `InputError` if no server takes it."""
    whole: dict[str, int] = {}
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, np.integer):
            whole[field.name] = int(value)
        elif not isinstance(value, (int, float, str)) and value is not None:
            raise InputError(f"{message.type}.{field.name} is {shown(value)}; wanted a whole number or a string")
    plain = dataclasses.replace(message, **whole)
    try:
        parse(plain.to_json(), "client")
    except (ProtocolError, ValueError) as error:  # also of a number with more digits than Python prints
        raise InputError(str(error)) from None
    return plain
