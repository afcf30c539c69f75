"""Weights: reading, writing, checking, folding and seeding the tensors of a codec.

Knows: three file layouts (our .safetensors, descript's .pth, Hugging Face's folder) and one form in memory,
`Weights`. Does not know: engines, streams, audio. Only the .pth layout asks for torch, and only while it reads or
writes.
"""

from .fold import fold
from .load import load_weights, save_weights
from .seeded import seeded
from .value import Weights

__all__ = ["Weights", "fold", "load_weights", "save_weights", "seeded"]
