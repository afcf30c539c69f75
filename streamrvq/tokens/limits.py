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
#: Codes that a row group of a shard may have whatever the size of the file, and beyond that for each of its bytes.
#: Silence takes almost no bytes. Four million codes are twice what a run with default settings writes at a time.
MOST_GROUP_CODES, CODES_PER_BYTE = 2**22, 64
#: Gaps of one signal. A day of audio has so many if one is lost in every second.
MOST_GAPS = 2**17
#: Characters of a codec's name, and of its hash.
MOST_TEXT = 2**16
#: Bytes of a token file's header, which holds all of that as text: the gaps take up to 45 each.
MOST_HEADER = 2**23
#: Steps that a pattern delays a level: hours of frames.
MOST_DELAY = 2**20
