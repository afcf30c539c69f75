"""Tokens as files, as shards, and as sequences for a language model.

    TokenFile, read_tokens, write_tokens      one signal in one ``.safetensors`` file
    DacFile, read_dac, write_dac              one signal in a ``.dac`` file of descript's package
    open_tokens, TokenSet, Signal             shards and single files, read when asked for, by frame or by time
    Vocabulary, Flat, Parallel, Delay, CoarseFirst      codes ↔ sequences of ids, whole or as frames come

Knows: the public names. Does not know: how they work; each is in the module of its name.
"""

from .coarse import CoarseFirst
from .dac.file import DacFile, read_dac, write_dac
from .delay import Delay
from .file import FORMAT, VERSION, TokenFile, read_tokens, write_tokens
from .flat import Flat, Parallel
from .pattern import Pattern, PatternDecoder, PatternEncoder
from .reader import TokenSet, open_tokens
from .signal import Signal
from .vocabulary import Vocabulary

__all__ = [
    "FORMAT",
    "VERSION",
    "CoarseFirst",
    "DacFile",
    "Delay",
    "Flat",
    "Parallel",
    "Pattern",
    "PatternDecoder",
    "PatternEncoder",
    "Signal",
    "TokenFile",
    "TokenSet",
    "Vocabulary",
    "open_tokens",
    "read_dac",
    "read_tokens",
    "write_dac",
    "write_tokens",
]
