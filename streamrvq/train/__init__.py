"""Training a codec: data, losses, codebooks, the loop, export. ``streamrvq train`` is the command for it.

Most modules import torch. Those of a run's settings, data and folder do not, so that ``info`` works without it.

Knows: how weights are made. Does not know: streams, engines, live audio. The rest of the package does not import it.
"""

from .config import TrainConfig

__all__ = ["TrainConfig"]
