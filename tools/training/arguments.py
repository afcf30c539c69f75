"""Numbers on the command lines of these tools: what argparse takes for one, and no run can use, is refused.

Knows: argparse. Does not know: what a number is for.
"""

from __future__ import annotations

import argparse

_MOST = 1e9


def amount(text: str) -> float:
    """A number from 0 to 10⁹. Raises what argparse makes a sentence of."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST:  # nan is not
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a number from 0 to {_MOST:.0f}")
    return value


def count(text: str) -> int:
    """A whole number from 1 to 10⁹. Raises what argparse makes a sentence of."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a whole number from 1 to {_MOST:.0f}")
    return value
