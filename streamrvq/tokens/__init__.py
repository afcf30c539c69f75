"""Tokens as files and as shards.

    TokenFile, read_tokens, write_tokens      one signal in one ``.safetensors`` file
    open_tokens, TokenSet, Signal             shards and single files, read when asked for, by frame or by time

Knows: these names, nothing else.
"""

from .file import FORMAT, VERSION, TokenFile, read_tokens, write_tokens
from .reader import TokenSet, open_tokens
from .signal import Signal

__all__ = ["FORMAT", "VERSION", "Signal", "TokenFile", "TokenSet", "open_tokens", "read_tokens", "write_tokens"]
