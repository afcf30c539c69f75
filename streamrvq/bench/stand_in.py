"""Weights for timing a shape without trained weights: like trained ones, they do not fit into half precision.

The engine stores weights in half precision where that is exact, and all seeded weights are such numbers. One hop of a
deep network is limited by reading weights, so it would look faster than with weights from a file.

Knows: how to make such weights. Does not know: engines, steps.
"""

from __future__ import annotations

import numpy as np

from ..weights import Weights

#: A relative change below half precision's last bit (2⁻¹¹) but above float32's (2⁻²⁴). Zeros stay zeros.
_FACTOR = np.float32(1 + 2**-20)


def stand_in(weights: Weights) -> Weights:
    """Trained ``weights`` as they are; others times 1 + 2⁻²⁰, so that only zeros are half-precision numbers."""
    if weights.trained:
        return weights
    tensors = {name: value * _FACTOR for name, value in weights.tensors.items()}
    return Weights.from_tensors(weights.config, tensors, name=weights.name, trained=False)
