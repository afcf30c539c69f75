"""Stored tokens, as `decode`, `play` and `info` read them: one signal of a file or of shards, and what is in a place.

Knows: nothing itself. Does not know: what a command does with them.
"""
