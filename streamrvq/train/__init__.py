"""Training a codec: data, losses, codebooks, the loop, export. ``streamrvq train`` is its front door.

Knows: how weights come about. The rest of the package does not know this one. Importing it imports torch.
"""

from .config import TrainConfig

__all__ = ["TrainConfig"]
