"""The codec as torch modules: for training, and as the whole-signal network that streams are compared with.

Importing this package imports torch, and so needs the extra [torch]; most of streamrvq does without.

Knows: DAC's module names, state-dict keys, losses and gradients. Does not know: streaming, files, engines.
"""

from ..system.optional import importing

with importing("torch", "streamrvq.nn needs torch"):
    from .decoder import Decoder
    from .encoder import Encoder
    from .layers import ResidualUnit, Snake1d, WNConv1d, WNConvTranspose1d
    from .model import CodecModel
    from .quantize import ResidualVectorQuantize, VectorQuantize

__all__ = [
    "CodecModel",
    "Decoder",
    "Encoder",
    "ResidualUnit",
    "ResidualVectorQuantize",
    "Snake1d",
    "VectorQuantize",
    "WNConv1d",
    "WNConvTranspose1d",
]
