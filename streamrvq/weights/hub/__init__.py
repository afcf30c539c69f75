"""The Hugging Face Hub: names of models there become folders here, which are then read like any other folder.

Knows: where a name's parts are. Does not know: layouts of weights, codecs.
"""

from .copying import copied
from .names import RELEASED, HubName, name_of, parsed
from .snapshot import Snapshot, cached, fetch, folder_of, licence_of

__all__ = [
    "RELEASED",
    "HubName",
    "Snapshot",
    "cached",
    "copied",
    "fetch",
    "folder_of",
    "licence_of",
    "name_of",
    "parsed",
]
