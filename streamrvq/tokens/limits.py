"""What tokens can be at most, wherever they are kept: what is larger is refused before anything is made of it.

Knows: the widths of the columns of a shard, which are the narrowest. Does not know: files.
"""

from __future__ import annotations

#: Levels, K: int16.
MOST_LEVELS = 2**15 - 1
#: Hz of a sample rate, samples of a hop: int32.
MOST_RATE = 2**31 - 1
#: Samples and positions, and ids of a vocabulary: int64.
MOST_SAMPLES = MOST_ID = 2**63 - 1
#: A code: uint16.
MOST_CODE = 2**16 - 1
#: Steps that a pattern delays a level: hours of frames.
MOST_DELAY = 2**20
