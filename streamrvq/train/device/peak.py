"""How many operations a second a GPU can do at most, by its name.

Knows: the makers' figures for dense matrix products. Does not know: what a run does with them.
"""

from __future__ import annotations

import re

import torch

#: Words of a GPU's name, and its peak in 10¹² operations a second: bfloat16 summed in float32, and float32.
#: From NVIDIA's data sheets, without sparsity. The first that fits counts.
PEAKS = (
    ("B200", 2250.0, 75.0),
    ("H200 NVL", 835.0, 60.0),
    ("H200", 989.4, 66.9),
    ("GH200", 989.4, 66.9),
    ("H100 PCIe", 756.0, 51.2),
    ("H100 NVL", 835.0, 60.0),
    ("H100", 989.4, 66.9),
    ("A100", 311.9, 19.5),
    ("L40S", 362.1, 91.6),
    ("L4", 121.0, 30.3),
    ("A10G", 70.0, 35.0),
    ("A10", 125.0, 31.2),
    ("RTX 4090", 165.2, 82.6),
    ("RTX 3090", 71.0, 35.6),
)
#: Words after these that make it another GPU, or a part of one.
_OTHERS = {"Ti", "D", "Laptop", "MIG"}


def peak(name: str, dtype: torch.dtype) -> float | None:
    """Operations a second of the GPU called ``name`` in ``dtype`` (bfloat16 or float32); None: not known."""
    words = re.split(r"[\s-]+", name)
    if _OTHERS & set(words):
        return None
    for part, half, single in PEAKS:
        if f" {part} " in f" {' '.join(words)} ":
            return 1e12 * (half if dtype == torch.bfloat16 else single)
    return None
