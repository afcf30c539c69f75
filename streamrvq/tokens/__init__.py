"""Tokens as files and as shards.

    TokenFile, read_tokens, write_tokens      one signal in one ``.safetensors`` file

Knows: these names, nothing else.
"""

from .file import FORMAT, VERSION, TokenFile, read_tokens, write_tokens

__all__ = ["FORMAT", "VERSION", "TokenFile", "read_tokens", "write_tokens"]
