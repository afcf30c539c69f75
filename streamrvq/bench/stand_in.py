"""Weights to time a shape with that ships without any: no half-precision numbers, as released DAC weights are none.

The engine keeps weights in half precision where that is exact, and seeded weights all are such numbers: one hop of a
deep network, which is bound by reading them, would look faster than it is with weights from a file.

Knows: that. Does not know: engines, steps.
"""

from __future__ import annotations

import numpy as np

from ..weights import Weights

#: Relative, and below half precision's last bit (2⁻¹¹) but above float32's (2⁻²⁴); zeros stay zeros.
_NUDGE = np.float32(1 + 2**-20)


def stand_in(weights: Weights) -> Weights:
    """``weights`` if they are trained; else each times 1 + 2⁻²⁰, so that none but zeros is a half-precision number."""
    if weights.trained:
        return weights
    tensors = {name: value * _NUDGE for name, value in weights.tensors.items()}
    return Weights.from_tensors(weights.config, tensors, name=weights.name, trained=False)
