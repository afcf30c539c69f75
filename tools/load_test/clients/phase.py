"""Where each of many clients starts, so that they do not all do the same thing at the same time.

Knows: one formula. Does not know: what starts there.
"""

_GOLDEN = 0.6180339887498949


def phase(number: int) -> float:
    """A fraction in [0, 1). The fractions of any consecutive numbers are spread almost evenly."""
    return (number * _GOLDEN) % 1.0
